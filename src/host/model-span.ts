import type { Call, TraceSpan } from "../contracts/index.ts";
import type { Generation } from "./generation.ts";

/** What is asked of a model: the first word of its span's name. */
export type ModelOperation = "infer" | "chat" | "text_completion" | "embeddings" | "tokenize" | "passthrough";

/**
 * Begins the span of one model's work; undefined where nobody records. Language models have the attributes of
 * OpenTelemetry's conventions for GenAI beside our own.
 */
export function beginModelSpan(
  { trace }: Call,
  operation: ModelOperation,
  { spec, settings, runtime }: Generation,
): TraceSpan | undefined {
  if (!trace?.recording) return undefined;
  return trace.begin(`${operation} ${spec.name}`, "internal", {
    "capstan.model.name": spec.name,
    "capstan.model.version": spec.version,
    "capstan.runtime": settings.implementation,
    ...(runtime.llm && {
      "gen_ai.operation.name": operation === "infer" ? "generate_content" : operation,
      "gen_ai.provider.name": "capstan",
      "gen_ai.request.model": spec.name,
      "gen_ai.response.model": spec.name,
    }),
  });
}

/** The call as the model sees it: what it asks of others belongs to its span. */
export function withSpan(call: Call, span: TraceSpan | undefined): Call {
  return span === undefined ? call : { ...call, trace: span };
}

/** Why a stream has ended whose reader asks for no more; undefined when it wanted nothing else. */
export const leftBecause = ({ signal }: Call): unknown => (signal.aborted ? signal.reason : undefined);
