import { CapstanError, invalid } from "../contracts/index.ts";
import { readBody } from "./body.ts";
import type { Exchange } from "./exchange.ts";
import type { Route } from "./route.ts";
import { sendJson } from "./send.ts";
import { modelOf } from "./v2.ts";

/** The V2 model repository extension. */
export const repositoryRoutes: Route[] = [
  { method: "POST", path: "/v2/repository/index", handle: index },
  { method: "POST", path: "/v2/repository/models/:model/load", guarded: true, handle: load },
  { method: "POST", path: "/v2/repository/models/:model/unload", guarded: true, handle: unload },
];

async function index(x: Exchange): Promise<void> {
  const { ready } = await readObject(x);
  if (ready !== undefined && typeof ready !== "boolean") throw invalid("'ready' must be true or false");
  const { repository, access } = x.parts;
  const entries = repository.index({ ready });
  return sendJson(
    x,
    200,
    entries.filter(({ name }) => access?.allows(x.principal, name) ?? true),
  );
}

async function load(x: Exchange): Promise<void> {
  const model = modelOf(x);
  const { parameters } = await readObject(x);
  await x.parts.repository.load(model, configOf(parameters), x.call());
  return sendJson(x, 200, {});
}

async function unload(x: Exchange): Promise<void> {
  await x.parts.repository.unload(modelOf(x), x.call());
  return sendJson(x, 200, {});
}

/**
 * The `config` parameter of a load call. Triton's `file:` parameters, which bring the model's bytes along,
 * are not taken: what is served comes from the repository.
 */
function configOf(parameters: unknown): string | undefined {
  if (parameters === undefined) return undefined;
  if (typeof parameters !== "object" || parameters === null) throw invalid("'parameters' must be an object");
  const file = Object.keys(parameters).find((key) => key.startsWith("file:"));
  if (file !== undefined)
    throw new CapstanError("UNSUPPORTED", `Parameter '${file}': models come from the repository`);
  const { config } = parameters as { config?: unknown };
  if (config === undefined || typeof config === "string") return config;
  throw invalid("Parameter 'config' must be a string with the JSON of a model-settings.json");
}

/** An optional JSON object as body. */
async function readObject(x: Exchange): Promise<Record<string, unknown>> {
  const body = await readBody(x.request, x.parts.settings.max_body_bytes);
  if (body.length === 0) return {};
  let value: unknown;
  try {
    value = JSON.parse(body.toString("utf8"));
  } catch (cause) {
    throw invalid(`The body is not JSON: ${(cause as Error).message}`, { cause });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw invalid("The body must be a JSON object");
}
