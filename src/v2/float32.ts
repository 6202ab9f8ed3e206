/**
 * Writes binary32 values as the decimal text that needs few digits and reads back as the same binary32.
 *
 * A candidate is an integer `m` of 7, 8 or 9 digits over a power of ten. Both are exact doubles (m < 2^53,
 * 10^22 is the largest exact power), so `m / 10^s` is the correctly rounded quotient: just what a JSON parser
 * makes of the text. The candidate is taken when it rounds to the value.
 */

const POWERS = Array.from({ length: 23 }, (_, exponent) => 10 ** exponent);
const LARGEST_EXACT_POWER = 22;
const FEWEST_DIGITS = 7;
/** 9 digits always identify a binary32. */
const MOST_DIGITS = 9;
/** From here down, leading zeros take more room than an exponent. */
const SMALLEST_PLAIN = -7;

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);
const LOG10_OF_2 = Math.log10(2);
const ZERO = 48;
const INT32_MAX = 2 ** 31 - 1;

/** At most this many bytes are written for one value. */
export const FLOAT32_BYTES = 40;

/**
 * Writes a finite `value` at `offset` and returns the offset behind it.
 * @param buffer has {@link FLOAT32_BYTES} free bytes there.
 */
export function writeFloat32(buffer: Uint8Array, offset: number, value: number): number {
  let at = offset;
  let magnitude = value;
  if (value < 0 || Object.is(value, -0)) {
    buffer[at++] = 45;
    magnitude = -value;
  }
  if (magnitude < 1e7 && magnitude === Math.floor(magnitude)) return writeInteger(buffer, at, magnitude);
  const exponent = decimalExponent(magnitude);
  for (let digits = FEWEST_DIGITS; digits <= MOST_DIGITS; digits++) {
    const scale = digits - 1 - exponent;
    if (scale > 2 * LARGEST_EXACT_POWER) break;
    const integer = Math.round(timesPower(magnitude, scale));
    if (reads(integer, scale, magnitude)) return writeDecimal(buffer, at, integer, scale);
  }
  return writeSlowly(buffer, at, magnitude);
}

/** value * 10^scale, correctly rounded where one exact power is enough. */
function timesPower(value: number, scale: number): number {
  if (scale >= 0) {
    return scale <= LARGEST_EXACT_POWER
      ? value * POWERS[scale]!
      : value * 1e22 * POWERS[scale - LARGEST_EXACT_POWER]!;
  }
  return scale >= -LARGEST_EXACT_POWER
    ? value / POWERS[-scale]!
    : value / 1e22 / POWERS[-scale - LARGEST_EXACT_POWER]!;
}

/** Relative error of a product of two powers, with room to spare. */
const TWO_STEPS = 2 ** -50;

/** Whether the text of integer / 10^scale reads back as the value. */
function reads(integer: number, scale: number, magnitude: number): boolean {
  const candidate = timesPower(integer, -scale);
  if (scale <= LARGEST_EXACT_POWER && scale >= -LARGEST_EXACT_POWER)
    return Math.fround(candidate) === magnitude;
  const margin = candidate * TWO_STEPS;
  return Math.fround(candidate - margin) === magnitude && Math.fround(candidate + margin) === magnitude;
}

/** floor(log10(magnitude)), or one less: the candidates then have one digit more to begin with. */
function decimalExponent(magnitude: number): number {
  float[0] = magnitude;
  const binary = ((bits[0]! >>> 23) & 255) - 127;
  const guess = Math.floor(binary * LOG10_OF_2);
  return timesPower(magnitude, -guess - 1) >= 1 ? guess + 1 : guess;
}

/** Writes integer / 10^scale. */
function writeDecimal(buffer: Uint8Array, offset: number, integer: number, scale: number): number {
  // At most nine digits: in 32-bit arithmetic, which is several times faster.
  let m = integer | 0;
  let s = scale;
  while (m % 10 === 0) {
    m = (m / 10) | 0;
    s -= 1;
  }
  const length = digitCount(m);
  const point = length - s;
  if (s <= 0)
    return point > 21
      ? writeExponent(buffer, offset, m, length, point)
      : padZeros(buffer, writeInteger(buffer, offset, m), -s);
  if (point <= SMALLEST_PLAIN) return writeExponent(buffer, offset, m, length, point);
  if (point > 0) return writeWithPoint(buffer, offset, m, length, point);
  buffer[offset] = ZERO;
  buffer[offset + 1] = 46;
  return writeInteger(buffer, padZeros(buffer, offset + 2, -point), m);
}

function padZeros(buffer: Uint8Array, offset: number, count: number): number {
  buffer.fill(ZERO, offset, offset + count);
  return offset + count;
}

/** Digits with a point after the first `point` of them. */
function writeWithPoint(
  buffer: Uint8Array,
  offset: number,
  m: number,
  length: number,
  point: number,
): number {
  let rest = m;
  let at = offset + length;
  for (let digit = length; digit > 0; digit--) {
    const next = (rest / 10) | 0;
    buffer[at--] = ZERO + (rest - next * 10);
    rest = next;
    if (digit - 1 === point) buffer[at--] = 46;
  }
  return offset + length + 1;
}

function writeExponent(buffer: Uint8Array, offset: number, m: number, length: number, point: number): number {
  let at = length === 1 ? writeInteger(buffer, offset, m) : writeWithPoint(buffer, offset, m, length, 1);
  buffer[at++] = 101;
  if (point - 1 < 0) buffer[at++] = 45;
  return writeInteger(buffer, at, Math.abs(point - 1));
}

function digitCount(m: number): number {
  let count = 1;
  while (count < POWERS.length && m >= POWERS[count]!) count++;
  return count;
}

/** Writes a non-negative integer below 2^53. */
export function writeInteger(buffer: Uint8Array, offset: number, integer: number): number {
  const end = offset + digitCount(integer);
  let at = end - 1;
  let rest = integer;
  while (rest > INT32_MAX) {
    const next = Math.trunc(rest / 10);
    buffer[at--] = ZERO + (rest - next * 10);
    rest = next;
  }
  for (let small = rest | 0; at >= offset; at--) {
    const next = (small / 10) | 0;
    buffer[at] = ZERO + (small - next * 10);
    small = next;
  }
  return end;
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
