import { z } from "zod";
import { MODEL_ADDRESS, MODEL_ADDRESS_TEXT } from "../../src/contracts/index.ts";

/** A model of this server, or an OpenAI-compatible upstream: its address, or options of the adapter `openai`. */
const reference = z.union([
  z.string().regex(MODEL_ADDRESS, MODEL_ADDRESS_TEXT),
  z.looseObject({ base_url: z.unknown() }),
]);

export type Reference = z.output<typeof reference>;

/** What `parameters.extra` may say about a LlamaIndex application. */
export const llamaindexOptions = z.strictObject({
  /** Writes the answers. */
  llm: reference.optional(),
  /** Makes the vectors of questions: the model that made those in `storage/`. */
  embed: reference.optional(),
  /** What an index is asked through: each question by itself, or with the conversation before it. */
  engine: z.enum(["query", "chat"]).default("query"),
  /** Pieces of text that an index finds for a question. */
  top_k: z.int().min(1).max(1000).default(2),
  /** Which index to serve, where `storage/` holds several. */
  index_id: z.string().min(1).optional(),
  /** Tokens of the language model, prompt and answer; LlamaIndex fits what it found into it. */
  context_window: z.int().min(512).default(3900),
  /** Names the sources at the end of the text, for clients that see nothing else. */
  citations: z.boolean().default(false),
  /** For the application's own code. */
  config: z.record(z.string(), z.unknown()).default({}),
});

export type LlamaIndexOptions = z.output<typeof llamaindexOptions>;
