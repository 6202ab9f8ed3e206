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

/**
 * What makes a model answer as it does, as far as its settings say: one whose prompt, upstream or artifact is another has
 * other answers, also under the same version. Its settings may hold secrets: only their hash leaves.
 */
export function fingerprintOf({ name, version, artifact, extra }: LayeredModel): string {
  return hashOf([name, version, artifact, sorted(extra)]);
}

/** Of the model, what was asked and how: equal requests have equal keys. */
export function keyOf(
  fingerprint: string,
  { messages, prompt, sampling, responseFormat, extra = {} }: ChatRequest,
  { principal }: Call,
  scope: "shared" | "key",
): string {
  const { cache: _, ...others } = extra;
  const owner = scope === "key" ? (principal?.id ?? "") : "";
  return hashOf([owner, fingerprint, messages, prompt, sorted(sampling), responseFormat, sorted(others)]);
}

/** What is absent and what is null are the same to a model. */
const hashOf = (values: readonly unknown[]) =>
  createHash("sha256").update(JSON.stringify(values)).digest("hex");

const sorted = (fields: object) => Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1));
