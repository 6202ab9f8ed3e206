import ms from "ms";
import { z } from "zod";

/**
 * Field types of the settings. Text that spells a number or a truth value is taken for one: variables of
 * the environment are text, and MLServer's own files are read that way too.
 */

const NUMBER = /^\s*-?\d+(\.\d+)?\s*$/;
const TRUTH: Readonly<Record<string, boolean>> = {
  true: true,
  yes: true,
  on: true,
  "1": true,
  false: false,
  no: false,
  off: false,
  "0": false,
};

const fromNumberText = (value: unknown) =>
  typeof value === "string" && NUMBER.test(value) ? Number(value) : value;
const fromTruthText = (value: unknown) =>
  typeof value === "string" ? (TRUTH[value.toLowerCase()] ?? value) : value;

export const integer = (min: number, max = Number.MAX_SAFE_INTEGER) =>
  z.preprocess(fromNumberText, z.int().min(min).max(max));
export const decimal = (min: number) => z.preprocess(fromNumberText, z.number().min(min));
export const flag = () => z.preprocess(fromTruthText, z.boolean());
export const port = () => integer(0, 65_535);

const DURATION = /^(0|\d+(\.\d+)?\s*(ms|s|m|h|d|w))$/;
/** Timers of Node end at 2^31 - 1 ms; a longer one would fire at once. */
const LONGEST_MS = 2 ** 31 - 1;
const DURATION_HELP = 'must be a time with its unit, such as "500ms", "30s" or "5m" (at most 24d), or "0"';

/** Text such as "30s", kept as it is. */
export const durationText = () =>
  z.preprocess(
    (value) => (value === 0 ? "0" : value),
    z
      .string(DURATION_HELP)
      .refine((text) => DURATION.test(text) && milliseconds(text) <= LONGEST_MS, DURATION_HELP),
  );

/** Text such as "30s", read as milliseconds. */
export const duration = () => durationText().transform(milliseconds);

const AGE_HELP = 'must be a time with its unit, such as "30m", "12h" or "90d"';

/** How old a record may get, read as milliseconds: no timer runs so long, so there is no longest. */
export const age = () =>
  z
    .string(AGE_HELP)
    .refine((text) => DURATION.test(text), AGE_HELP)
    .transform(milliseconds);

/** Milliseconds of a text that {@link durationText} accepted. */
export function milliseconds(text: string): number {
  return ms(text as ms.StringValue);
}
