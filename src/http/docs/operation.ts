import type { z } from "zod";

type JsonSchema = Readonly<Record<string, unknown>>;

/** What the API pages say of a route. */
export interface Operation {
  readonly tag: string;
  readonly summary: string;
  /** Of the body: the schema that checks it, or one written by hand where the check is. */
  readonly body?: z.ZodType | JsonSchema;
  readonly example?: unknown;
  /** Media type of the body; JSON when absent. */
  readonly takes?: string;
  /** Names of parameters that may stand in the query. */
  readonly query?: readonly string[];
  /** Media type of a good answer; JSON when absent. */
  readonly answers?: string;
}
