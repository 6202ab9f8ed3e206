import { type Call, CapstanError } from "../../src/contracts/index.ts";
import { CATALOG, type CatalogApi } from "./api.ts";
import { isRecord, type Json, recordsIn, textIn, upstream } from "./exchange.ts";
import { type Asked, fullName, type ModelName } from "./uri.ts";

export interface Version extends ModelName {
  readonly version: number;
  /** Such as s3://..., abfss://..., gs://... or file:///... */
  readonly storage: string;
  /** Changes when a version is deleted and made again. */
  readonly identity: string;
}

/** @throws CapstanError NOT_FOUND, or NOT_READY for a version that is not registered to its end. */
export async function versionOf(api: CatalogApi, asked: Asked, call: Call): Promise<Version> {
  const { which } = asked;
  const found =
    which.kind === "version"
      ? await numbered(api, asked, which.version, call)
      : which.kind === "alias"
        ? await aliased(api, asked, which.alias, call)
        : await latest(api, asked, call);
  return ready(asked, found);
}

const pathOf = (name: ModelName) => `${CATALOG}/models/${encodeURIComponent(fullName(name))}`;

const numbered = (api: CatalogApi, name: ModelName, version: number, call: Call): Promise<Json> =>
  api.ask(`${pathOf(name)}/versions/${version}`, {}, call);

/**
 * Databricks knows aliases. The open source server answers that path with a 404 that is no JSON; there an alias is
 * read from the model's comment.
 */
async function aliased(api: CatalogApi, name: ModelName, alias: string, call: Call): Promise<Json> {
  const path = `${pathOf(name)}/aliases/${encodeURIComponent(alias)}`;
  const answer = await api.try(path, { include_aliases: "true" }, call);
  if (answer.status === 200 && answer.json !== undefined) return answer.json;
  if (answer.status !== 404 || answer.json !== undefined) throw api.refusal(answer);
  const model = await api.ask(pathOf(name), {}, call);
  return await numbered(api, name, aliasInComment(name, alias, model), call);
}

/** `{"aliases": {"champion": 1}}` as the whole comment: a convention of ours. */
function aliasInComment(name: ModelName, alias: string, model: Json): number {
  const aliases = commentOf(model).aliases;
  const version = isRecord(aliases) ? Number(aliases[alias]) : Number.NaN;
  if (Number.isInteger(version) && version > 0) return version;
  throw new CapstanError(
    "NOT_FOUND",
    `The model '${fullName(name)}' has no alias '${alias}'. This registry keeps no aliases: make the model's comment ` +
      `{"aliases": {"${alias}": 1}}, or ask for /1 or @latest`,
  );
}

function commentOf({ comment }: Json): Json {
  try {
    const value: unknown = JSON.parse(textIn(comment));
    return isRecord(value) ? value : {};
  } catch {
    return {};
  }
}

/** The highest that is ready, of all pages. */
async function latest(api: CatalogApi, name: ModelName, call: Call): Promise<Json> {
  let highest: Json | undefined;
  let token = "";
  do {
    const query: Record<string, string> = token === "" ? {} : { page_token: token };
    const page = await api.ask(`${pathOf(name)}/versions`, query, call);
    const candidates = recordsIn(page.model_versions).filter(({ status }) => status === "READY");
    for (const each of candidates) {
      if (highest === undefined || Number(each.version) > Number(highest.version)) highest = each;
    }
    token = textIn(page.next_page_token);
  } while (token !== "");
  if (highest !== undefined) return highest;
  throw new CapstanError("NOT_FOUND", `The model '${fullName(name)}' has no version that is READY`);
}

function ready({ catalog, schema, model }: ModelName, found: Json): Version {
  const version = Number(found.version);
  const name = fullName({ catalog, schema, model });
  if (!Number.isInteger(version)) throw upstream(`The registry gave a version of '${name}' without a number`);
  const status = textIn(found.status) || "READY";
  if (status !== "READY") {
    throw new CapstanError(
      "NOT_READY",
      `Version ${version} of '${name}' is ${status} in the registry, not READY`,
    );
  }
  const storage = textIn(found.storage_location);
  const identity = [found.id, found.created_at, found.run_id, storage].map(String).join(" ");
  return { catalog, schema, model, version, storage, identity };
}
