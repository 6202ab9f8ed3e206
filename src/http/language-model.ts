import { CapstanError, invalid, toCapstanError } from "../contracts/index.ts";
import type { Exchange } from "./exchange.ts";
import type { Headers } from "./send.ts";

/** A language model that a request is for. */
export interface Target {
  readonly name: string;
  /** As asked for; absent: whichever the data plane takes. */
  readonly version?: string | undefined;
  /** The version that answers. */
  readonly answering: string;
}

/**
 * The model a body names; without a name the one of `default_model`, else the only language model there is.
 * @throws CapstanError NOT_FOUND, NOT_READY, UNSUPPORTED, or INVALID_ARGUMENT when a name is needed.
 */
export function chooseModel(x: Exchange, named: string | undefined): Target {
  const name = named ?? x.parts.settings.default_model ?? soleModel(x);
  try {
    return targetOf(x, name, undefined);
  } catch (thrown) {
    const cause = toCapstanError(thrown);
    throw new CapstanError(cause.code, cause.message, { cause, param: "model" });
  }
}

/** The model a path names. */
export function targetOf(x: Exchange, name: string, version: string | undefined): Target {
  const { plane } = x.parts;
  plane.signature(name, version);
  const found = plane.languageModels().find((model) => model.name === name);
  if (found === undefined) throw new CapstanError("UNSUPPORTED", `Model '${name}' is not a language model`);
  return { name, version, answering: version || found.version };
}

function soleModel(x: Exchange): string {
  const names = x.parts.plane.languageModels().map(({ name }) => name);
  if (names.length === 1) return names[0]!;
  const have = names.length === 0 ? "no language model is loaded" : `there are ${names.join(", ")}`;
  throw invalid(`'model' is missing, and ${have}: name one, or set default_model`, { param: "model" });
}

/**
 * What every answer of a language model says of itself.
 * @param modelMs how long the model took; the rest of the time so far is the server's overhead.
 */
export function answerHeaders(x: Exchange, target: Target, modelMs = 0): Headers {
  const overhead = performance.now() - x.started - modelMs;
  return {
    "x-capstan-model-version": target.answering,
    "x-capstan-overhead-ms": Math.max(0, overhead).toFixed(2),
  };
}

/**
 * The conversation a request belongs to, by the first that says so.
 * @param parameter `session_id` of a V2 request.
 * @param body what the fields of an OpenAI request say.
 */
export function sessionOf(x: Exchange, { parameter, body }: SessionFields = {}): string | undefined {
  return [parameter, x.header("x-session-id"), body].find((id) => id !== undefined && id !== "");
}

interface SessionFields {
  readonly parameter?: string | undefined;
  readonly body?: string | undefined;
}
