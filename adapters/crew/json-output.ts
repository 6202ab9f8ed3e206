import { z } from "zod";
import { CapstanError } from "../../src/contracts/index.ts";
import { unfenced } from "./tool.ts";

/** What a task's answer must be, where it must be JSON. */
export interface JsonFormat {
  /** Said to the model. */
  readonly instruction: string;
  /** The value in an answer. @throws Error saying what is wrong with it. */
  parse(answer: string): unknown;
}

/**
 * @param output a JSON Schema, or true for any JSON.
 * @param where it is written, for messages.
 * @throws CapstanError LOAD_FAILED for a schema that cannot be checked.
 */
export function jsonFormat(
  output: true | Readonly<Record<string, unknown>> | undefined,
  where: string,
): JsonFormat | undefined {
  if (output === undefined) return undefined;
  const instruction = "Answer with JSON alone: no other text, and no fences around it.";
  if (output === true) return { instruction, parse: parseJson };
  const schema = schemaOf(output, where);
  return {
    instruction: `${instruction} It must fit this JSON Schema: ${JSON.stringify(output)}`,
    parse(answer) {
      const result = schema.safeParse(parseJson(answer));
      if (result.success) return result.data;
      throw new Error(z.prettifyError(result.error));
    },
  };
}

function schemaOf(output: Readonly<Record<string, unknown>>, where: string): z.ZodType {
  try {
    return z.fromJSONSchema(output);
  } catch (cause) {
    throw new CapstanError("LOAD_FAILED", `${where}: is not a JSON Schema: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** The whole answer, or the object or list in it: models like to say something before. */
function parseJson(answer: string): unknown {
  const text = unfenced(answer);
  try {
    return JSON.parse(text);
  } catch (error) {
    const inside = /[[{][\s\S]*[\]}]/.exec(text)?.[0];
    if (inside === undefined || inside === text) throw error;
    return JSON.parse(inside);
  }
}
