import { createHash } from "node:crypto";
import type { Call, ChatRequest } from "../../contracts/index.ts";
import type { LayeredModel } from "../../host/plugin-host.ts";

/**
 * Whether an answer may be kept: the model would give it again (temperature 0), or the caller asks for it (`cache`). Never
 * what belongs to a conversation, calls tools, or has several choices.
 */
export function isKept({ session, tools = [], n = 1, sampling, extra = {} }: ChatRequest): boolean {
  if (session !== undefined || tools.length > 0 || n > 1 || extra.cache === false) return false;
  return sampling.temperature === 0 || extra.cache === true;
}

/** Of the model, its version, what was asked and how: equal requests have equal keys. */
export function keyOf(
  { name, version }: LayeredModel,
  { messages, prompt, sampling, responseFormat, extra = {} }: ChatRequest,
  { principal }: Call,
  scope: "shared" | "key",
): string {
  const { cache: _, ...others } = extra;
  const owner = scope === "key" ? (principal?.id ?? "") : "";
  const asked = [
    owner,
    name,
    version,
    messages ?? null,
    prompt ?? null,
    sorted(sampling),
    responseFormat,
    sorted(others),
  ];
  return createHash("sha256").update(JSON.stringify(asked)).digest("hex");
}

const sorted = (fields: object) => Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1));
