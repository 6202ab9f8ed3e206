/**
 * The part of a zod object schema that the host relies on, written structurally so that contracts import
 * nothing. Make options with `z.strictObject({...})`, each with its default inside.
 */
export interface OptionsSchema<O> {
  /** The keys this plugin owns in `parameters.extra`; two owners of one key are a load error. */
  readonly shape: Readonly<Record<string, unknown>>;
  safeParse(value: unknown): OptionsResult<O>;
}

export type OptionsResult<O> =
  | { readonly success: true; readonly data: O }
  | { readonly success: false; readonly error: { readonly issues: readonly OptionsIssue[] } };

export interface OptionsIssue {
  readonly code?: string | undefined;
  readonly path: readonly PropertyKey[];
  readonly message: string;
  /** Present on an issue about keys the schema does not know. */
  readonly keys?: readonly string[];
}
