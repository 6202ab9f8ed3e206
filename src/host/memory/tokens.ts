import { type CapLLM, toCapstanError } from "../../contracts/index.ts";
import type { CountTokens } from "./window.ts";

/** The rule of thumb for English text. */
const CHARACTERS_OF_A_TOKEN = 4;

/** Counts as the model does where it tells, else by the length of the text. */
export function tokenCounter(llm: CapLLM): CountTokens {
  return async (text, call) => {
    try {
      const ids = await llm.tokenize?.(text, call);
      if (ids !== undefined) return ids.length;
    } catch (error) {
      // An adapter that is loaded late turns out to have no tokenizer.
      if (toCapstanError(error).code !== "UNSUPPORTED") throw error;
    }
    return Math.ceil(text.length / CHARACTERS_OF_A_TOKEN);
  };
}
