import { writeDecimal, writeInteger } from "./decimal-text.ts";

/**
 * Writes binary32 values as the decimal text that needs few digits and reads back as the same binary32.
 *
 * A candidate is an integer `m` of 7, 8 or 9 digits over a power of ten. Both are exact doubles (m < 2^53,
 * 10^22 is the largest exact power), so `m / 10^s` is the correctly rounded quotient: just what a JSON parser
 * makes of the text. The candidate is taken when it rounds to the value.
 */

const POWERS = Array.from({ length: 23 }, (_, exponent) => 10 ** exponent);
const LARGEST_EXACT_POWER = 22;
const LARGEST_POWER = 1e22;
const FEWEST_DIGITS = 7;
/** 9 digits always identify a binary32. */
const MOST_DIGITS = 9;

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);
const MINUS = 45;
const NEGATIVE_ZERO = "-0.0";
const LOG10_OF_2 = Math.log10(2);

/** At most this many bytes are written for one value. */
export const FLOAT32_BYTES = 40;

/**
 * Writes a finite `value` at `offset` and returns the offset behind it.
 * @param buffer has {@link FLOAT32_BYTES} free bytes there.
 */
export function writeFloat32(buffer: Uint8Array, offset: number, value: number): number {
  if (Object.is(value, -0)) return writeNegativeZero(buffer, offset);
  let at = offset;
  let magnitude = value;
  if (value < 0) {
    buffer[at++] = MINUS;
    magnitude = -value;
  }
  if (magnitude < 1e7 && magnitude === Math.floor(magnitude)) return writeInteger(buffer, at, magnitude);
  const exponent = decimalExponent(magnitude);
  for (let digits = FEWEST_DIGITS; digits <= MOST_DIGITS; digits++) {
    const scale = digits - 1 - exponent;
    if (scale > 3 * LARGEST_EXACT_POWER) break;
    const integer = Math.round(timesPower(magnitude, scale));
    if (reads(integer, scale, magnitude)) return writeDecimal(buffer, at, integer, scale);
  }
  return writeSlowly(buffer, at, magnitude);
}

/** `-0` would be an integer to many parsers, and lose its sign there. */
function writeNegativeZero(buffer: Uint8Array, offset: number): number {
  for (let i = 0; i < NEGATIVE_ZERO.length; i++) buffer[offset + i] = NEGATIVE_ZERO.charCodeAt(i);
  return offset + NEGATIVE_ZERO.length;
}

/** value * 10^scale, correctly rounded where one exact power is enough. */
function timesPower(value: number, scale: number): number {
  let product = value;
  let rest = scale;
  for (; rest > LARGEST_EXACT_POWER; rest -= LARGEST_EXACT_POWER) product *= LARGEST_POWER;
  for (; rest < -LARGEST_EXACT_POWER; rest += LARGEST_EXACT_POWER) product /= LARGEST_POWER;
  return rest >= 0 ? product * POWERS[rest]! : product / POWERS[-rest]!;
}

/** Relative error of a product of up to three powers, with room to spare. */
const SEVERAL_STEPS = 2 ** -50;

/** Whether the text of integer / 10^scale reads back as the value. */
function reads(integer: number, scale: number, magnitude: number): boolean {
  const candidate = timesPower(integer, -scale);
  if (scale <= LARGEST_EXACT_POWER && scale >= -LARGEST_EXACT_POWER)
    return Math.fround(candidate) === magnitude;
  const margin = candidate * SEVERAL_STEPS;
  return Math.fround(candidate - margin) === magnitude && Math.fround(candidate + margin) === magnitude;
}

/** floor(log10(magnitude)), or one less: the candidates then have one digit more to begin with. */
function decimalExponent(magnitude: number): number {
  float[0] = magnitude;
  const binary = ((bits[0]! >>> 23) & 255) - 127;
  const guess = Math.floor(binary * LOG10_OF_2);
  return timesPower(magnitude, -guess - 1) >= 1 ? guess + 1 : guess;
}

/** Very large and very small values: rare, so the engine's own printing will do. */
function writeSlowly(buffer: Uint8Array, offset: number, magnitude: number): number {
  let text = "";
  for (let digits = 1; digits <= MOST_DIGITS; digits++) {
    text = magnitude.toPrecision(digits);
    if (Math.fround(Number(text)) === magnitude) break;
  }
  for (let i = 0; i < text.length; i++) buffer[offset + i] = text.charCodeAt(i);
  return offset + text.length;
}
