import { z } from "zod";
import { CapstanError } from "../../contracts/index.ts";
import type { Target } from "../../host/language-model.ts";

const tokenIds = z.array(z.int()).min(1);

/** What OpenAI takes as text: one or several, as strings or as the token ids of the model's own tokenizer. */
export const textsOrTokenIds = () =>
  z.union(
    [
      z.string(),
      z.array(z.string()).min(1, "must have at least one text"),
      tokenIds,
      z.array(tokenIds).min(1),
    ],
    "must be a string, a list of strings, or token ids",
  );

type TextsOrTokenIds = z.output<ReturnType<typeof textsOrTokenIds>>;

/** Undefined for token ids: they mean something to the model's own upstream only. */
export function textsOf(input: TextsOrTokenIds): string[] | undefined {
  if (typeof input === "string") return [input];
  return input.every((each) => typeof each === "string") ? input : undefined;
}

/** The fault that there is no upstream to read them. */
export function noTokenIds({ name }: Target, param: string): CapstanError {
  const message = `Model '${name}' takes texts, and '${param}' has token ids`;
  return new CapstanError("UNSUPPORTED", message, { param });
}
