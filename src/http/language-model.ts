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

const MS_PER_SECOND = 1000;

/**
 * What every answer of a language model says of itself. Ask for it before the model is asked, and call the result
 * when its answer is there: the time between is the model's, the rest of the request the server's overhead. The cache
 * is `hit` or `miss`, or `bypass` where no kept answer could be given: there is no cache, or the request is not for it.
 */
export function answerHeaders(x: Exchange, target: Target): () => Headers {
  const asked = performance.now();
  x.parts.metrics.llm.overhead.observe((asked - x.started) / MS_PER_SECOND);
  return () => {
    const { version, cache, headers } = x.call().record;
    return {
      "x-capstan-model-version": version ?? target.answering,
      "x-capstan-overhead-ms": (asked - x.started).toFixed(2),
      "x-capstan-cache": cache ?? "bypass",
      ...headers,
    };
  };
}

/** {@link answerHeaders} of V2's own routes, which answer for models of every kind: only language models have them. */
export function inferHeaders(x: Exchange, name: string, version: string | undefined): () => Headers {
  const found = x.parts.plane.languageModel(name);
  if (found === undefined) return noHeaders;
  return answerHeaders(x, { name, version, answering: version || found.version });
}

const noHeaders = (): Headers => ({});

/**
 * The conversation a request belongs to, by the first that says so.
 * @param parameter `session_id` of a V2 request.
 * @param body what the fields of an OpenAI request say.
 */
export function sessionOf(x: Exchange, { parameter, body }: SessionFields = {}): string | undefined {
  return [parameter, x.sessionHeader, body].find((id) => id !== undefined && id !== "");
}

interface SessionFields {
  readonly parameter?: string | undefined;
  readonly body?: string | undefined;
}
