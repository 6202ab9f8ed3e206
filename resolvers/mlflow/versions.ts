import { type Call, CapstanError } from "../../src/contracts/index.ts";
import { isRecord, type Json, type MlflowApi, recordsIn, textIn, upstream } from "./api.ts";
import type { Asked } from "./uri.ts";

/** A version of a registered model. */
export interface Version {
  readonly name: string;
  readonly version: string;
  /** Changes when a version is deleted and made again. */
  readonly identity: string;
}

export type AskedVersion = Extract<Asked, { readonly name: string }>;

const REGISTRY = "/api/2.0/mlflow";

/** @throws CapstanError NOT_FOUND, or NOT_READY for a version that is not registered to its end. */
export async function versionOf(api: MlflowApi, asked: AskedVersion, call: Call): Promise<Version> {
  const found = await descriptionOf(api, asked, call);
  const { version, status, source, run_id, status_message } = found;
  const number = typeof version === "number" ? String(version) : textIn(version);
  if (number === "") throw upstream(`The registry at ${api.address} gave a model version without a number`);
  const state = textIn(status) || "READY";
  if (state !== "READY") {
    const why = textIn(status_message);
    throw new CapstanError(
      "NOT_READY",
      `Version ${number} of '${asked.name}' is ${state} in the registry${why && `: ${why}`}`,
    );
  }
  return { name: asked.name, version: number, identity: `${textIn(run_id)} ${textIn(source)}` };
}

async function descriptionOf(api: MlflowApi, asked: AskedVersion, call: Call): Promise<Json> {
  const { name } = asked;
  if (asked.kind === "stage") return highest(await stages(api, name, [asked.stage], call), asked);
  if (asked.kind === "latest") return highest(await stages(api, name, undefined, call), asked);
  const query: Record<string, string> =
    asked.kind === "alias" ? { name, alias: asked.alias } : { name, version: asked.version };
  const path = asked.kind === "alias" ? "/registered-models/alias" : "/model-versions/get";
  // An alias that is not there is answered as a wrong parameter.
  const missing = asked.kind === "alias" ? ["INVALID_PARAMETER_VALUE"] : [];
  const { model_version } = await api.ask({ path: REGISTRY + path, query, missing }, call);
  if (!isRecord(model_version)) throw upstream(`The registry at ${api.address} gave no model version`);
  return model_version;
}

/** The newest version of each stage; of every stage when none is given. */
async function stages(
  api: MlflowApi,
  name: string,
  stages: string[] | undefined,
  call: Call,
): Promise<Json[]> {
  const answer = await api.ask(
    {
      path: `${REGISTRY}/registered-models/get-latest-versions`,
      body: { name, ...(stages === undefined ? {} : { stages }) },
      missing: ["INVALID_PARAMETER_VALUE"],
    },
    call,
  );
  return recordsIn(answer.model_versions);
}

function highest(versions: readonly Json[], asked: AskedVersion): Json {
  const found = versions.toSorted((a, b) => Number(b.version) - Number(a.version))[0];
  if (found !== undefined) return found;
  const what = asked.kind === "stage" ? `version in the stage '${asked.stage}'` : "version";
  throw new CapstanError("NOT_FOUND", `The model '${asked.name}' has no ${what}`);
}

/** Where a version's artifacts are. */
export async function downloadUri(api: MlflowApi, { name, version }: Version, call: Call): Promise<string> {
  const path = `${REGISTRY}/model-versions/get-download-uri`;
  const { artifact_uri } = await api.ask({ path, query: { name, version } }, call);
  return textIn(artifact_uri);
}

/** Where the artifacts of a logged model are, as MLflow 3 has them. */
export async function loggedModel(
  api: MlflowApi,
  id: string,
  call: Call,
): Promise<{ name: string; uri: string }> {
  const { model } = await api.ask({ path: `${REGISTRY}/logged-models/${id}` }, call);
  const info = isRecord(model) && isRecord(model.info) ? model.info : {};
  return { name: textIn(info.name), uri: textIn(info.artifact_uri) };
}

/**
 * Where a path of a run is: among its artifacts, or in a model that the run logged under that name, as MLflow 3 does.
 */
export async function runUri(api: MlflowApi, run: string, path: string, call: Call): Promise<string> {
  const answer = await api.ask({ path: `${REGISTRY}/runs/get`, query: { run_id: run } }, call);
  const { info, outputs } = isRecord(answer.run) ? answer.run : ({} as Json);
  const root = isRecord(info) ? textIn(info.artifact_uri) : "";
  for (const { model_id } of recordsIn(isRecord(outputs) ? outputs.model_outputs : [])) {
    const model = await loggedModel(api, textIn(model_id), call);
    if (model.name === path) return model.uri;
  }
  return path === "" ? root : `${root}/${path}`;
}
