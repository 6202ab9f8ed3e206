import { CapstanError, toCapstanError } from "../contracts/index.ts";
import { chooseName, type Target, targetOf } from "../host/language-model.ts";
import type { Exchange } from "./exchange.ts";
import type { Headers } from "./send.ts";

/**
 * The model a body names; without a name the one of `default_model`, else the only language model there is.
 * @throws CapstanError NOT_FOUND, NOT_READY, UNSUPPORTED, or INVALID_ARGUMENT when a name is needed.
 */
export function chooseModel({ parts }: Exchange, named: string | undefined): Target {
  const name = chooseName(parts.plane, named, parts.settings.default_model);
  try {
    return targetOf(parts.plane, name, undefined);
  } catch (thrown) {
    const cause = toCapstanError(thrown);
    throw new CapstanError(cause.code, cause.message, { cause, param: "model" });
  }
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
