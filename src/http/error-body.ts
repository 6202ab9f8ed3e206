import { type CapstanError, ERROR_TABLE, toCapstanError } from "../contracts/index.ts";
import { asCutOff } from "../host/call.ts";
import { traceFields } from "../telemetry/trace-context.ts";
import type { Exchange } from "./exchange.ts";

/** What was thrown, as an error that can be shown. Those that are ours are logged. */
export function reportError(exchange: Exchange, thrown: unknown): CapstanError {
  const error = toCapstanError(thrown);
  exchange.failure ??= error.code;
  const ids = { request_id: exchange.requestId, ...traceFields(exchange.trace) };
  const fields = { ...ids, route: exchange.route, code: error.code };
  if (error.code === "INTERNAL") exchange.log.error({ ...fields, err: error.cause ?? error }, error.message);
  else exchange.log.debug(fields, error.message);
  return exchange.parts.stopping() ? asCutOff(error) : error;
}

/** Under /v1 errors have the form of the OpenAI API, everywhere else that of the V2 protocol. */
export function errorBody(exchange: Exchange, error: CapstanError): { error: unknown } {
  const message = shownMessage(exchange, error);
  if (!isOpenAIPath(exchange)) return { error: message };
  const { openai: type } = ERROR_TABLE[error.code];
  return { error: { message, type, param: error.param ?? null, code: openAICode(error) } };
}

/** What broke inside is for the log; a caller gets the id to find it by. */
export function shownMessage(exchange: Exchange, error: CapstanError): string {
  if (error.code !== "INTERNAL" || exchange.parts.settings.debug) return error.message;
  return `Internal error; the server's log has it under request id ${exchange.requestId}`;
}

function isOpenAIPath({ request, parts }: Exchange): boolean {
  return request.url?.startsWith(`${parts.settings.root_path}/v1/`) ?? false;
}

/** Clients look for `model_not_found`; the other codes are ours in small letters. */
function openAICode({ code, param }: CapstanError): string {
  return code === "NOT_FOUND" && param === "model" ? "model_not_found" : code.toLowerCase();
}
