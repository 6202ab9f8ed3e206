import { CapstanError, invalid } from "../contracts/index.ts";
import { targetOf } from "../host/language-model.ts";
import type { DataPlane, LanguageModelEntry } from "../host/types.ts";
import type { Exchange } from "./exchange.ts";
import { type JsonObject, readJsonObject } from "./json-body.ts";
import type { Kickoffs } from "./kickoffs.ts";
import type { Route } from "./route.ts";
import { sendJson } from "./send.ts";

/** CrewAI AMP calls these addresses; nothing here calls addresses that a caller names. */
const WEBHOOKS = ["taskWebhookUrl", "stepWebhookUrl", "crewWebhookUrl", "webhooks"];

/**
 * The routes by which CrewAI AMP serves a crew (docs.crewai.com, "API Reference"), for each model, and as there without
 * a name when one application is served.
 */
export function kickoffRoutes(kickoffs: Kickoffs): Route[] {
  const start = (x: Exchange) => kickoff(x, kickoffs);
  const status = (x: Exchange) => {
    return sendJson(x, 200, kickoffs.find(x.params.id!, x.owner, x.params.model).status());
  };
  return [
    { method: "GET", path: "/v2/models/:model/inputs", handle: inputs },
    { method: "POST", path: "/v2/models/:model/kickoff", handle: start },
    { method: "GET", path: "/v2/models/:model/status/:id", handle: status },
    { method: "GET", path: "/inputs", handle: inputs },
    { method: "POST", path: "/kickoff", handle: start },
    { method: "GET", path: "/status/:id", handle: status },
  ];
}

function inputs(x: Exchange): Promise<void> {
  const name = modelOf(x);
  const { inputs: known } = entryOf(x.parts.plane, name);
  if (known !== undefined) return sendJson(x, 200, { inputs: known.map((input) => input.name) });
  throw new CapstanError(
    "UNSUPPORTED",
    `Model '${name}' takes no named inputs, or is lazy and does not tell them`,
  );
}

async function kickoff(x: Exchange, kickoffs: Kickoffs): Promise<void> {
  const name = modelOf(x);
  const entry = entryOf(x.parts.plane, name);
  const given = inputsOf(await readJsonObject(x));
  checkInputs(entry, given);
  return sendJson(x, 200, { kickoff_id: kickoffs.start(x, name, given).id });
}

/** Without a name in the path: the only application there is. */
function modelOf({ params, parts }: Exchange): string {
  if (params.model !== undefined) return params.model;
  const names = parts.plane
    .languageModels()
    .flatMap(({ name, inputs }) => (inputs === undefined ? [] : [name]));
  if (names.length === 1) return names[0]!;
  const have =
    names.length === 0 ? "no application with named inputs is served" : `there are ${names.join(", ")}`;
  throw invalid(`Which model is meant, is not clear: ${have}. Name it as in /v2/models/{name}/kickoff`, {
    param: "model",
  });
}

function entryOf(plane: DataPlane, name: string): LanguageModelEntry {
  targetOf(plane, name, undefined);
  return plane.languageModel(name)!;
}

function inputsOf(body: JsonObject): JsonObject {
  const webhook = WEBHOOKS.find((key) => body[key] !== undefined && body[key] !== null);
  if (webhook !== undefined) {
    throw invalid(`'${webhook}' is not supported: ask GET /status/{kickoff_id} instead`, { param: webhook });
  }
  const { inputs: given = {} } = body;
  if (typeof given === "object" && given !== null && !Array.isArray(given)) return given as JsonObject;
  throw invalid("'inputs' must be an object of values by name", { param: "inputs" });
}

/** At once, and not in the status of a run that was bound to fail. */
function checkInputs({ name, inputs: known = [] }: LanguageModelEntry, given: JsonObject): void {
  const missing = known
    .filter((input) => !input.optional && (given[input.name] ?? null) === null)
    .map((input) => input.name);
  if (missing.length === 0) return;
  const which = missing.map((each) => `'${each}'`).join(", ");
  throw invalid(`Model '${name}' needs the input ${which}, which is missing`, {
    param: `inputs.${missing[0]}`,
  });
}
