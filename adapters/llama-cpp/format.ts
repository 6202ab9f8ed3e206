import type { Llama, LlamaGrammar } from "node-llama-cpp";
import { z } from "zod";
import { type ChatRequest, invalid } from "../../src/contracts/index.ts";

type Schema = Parameters<Llama["createGrammarForJsonSchema"]>[0];

/** OpenAI's `response_format`, of which only what is used here is read. */
const responseFormat = z.discriminatedUnion("type", [
  z.looseObject({ type: z.literal("text") }),
  z.looseObject({ type: z.literal("json_object") }),
  z.looseObject({
    type: z.literal("json_schema"),
    json_schema: z.looseObject({ schema: z.looseObject({}) }),
  }),
]);

/**
 * The grammar that an answer must keep to; none for text.
 * @throws CapstanError INVALID_ARGUMENT for a format or a schema that cannot be enforced.
 */
export async function grammarOf(request: ChatRequest, llama: Llama): Promise<LlamaGrammar | undefined> {
  if (request.responseFormat === undefined) return undefined;
  const { data, error } = responseFormat.safeParse(request.responseFormat);
  if (data === undefined) throw refused(z.prettifyError(error));
  if (data.type === "text") return undefined;
  if (data.type === "json_object") return llama.getGrammarFor("json");
  try {
    return await llama.createGrammarForJsonSchema(data.json_schema.schema as Schema);
  } catch (cause) {
    throw refused((cause as Error).message);
  }
}

function refused(why: string): Error {
  return invalid(`response_format is not understood: ${why}`, { param: "response_format" });
}

/**
 * Where the answer is complete. The library's grammars let a model write line breaks after that without end; so many
 * of them come nowhere else.
 */
export function endsOf(grammar: LlamaGrammar | undefined): string[] {
  return (grammar?.stopGenerationTriggers ?? []).map(String);
}
