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
    if (scale < -LARGEST_EXACT_POWER || scale > LARGEST_EXACT_POWER) break;
    const power = POWERS[scale < 0 ? -scale : scale]!;
    const integer = Math.round(scale < 0 ? magnitude / power : magnitude * power);
    if (Math.fround(scale < 0 ? integer * power : integer / power) === magnitude) {
      return writeDecimal(buffer, at, integer, scale);
    }
  }
  return writeSlowly(buffer, at, magnitude);
}

/** floor(log10(magnitude)), from the binary exponent and one comparison; may be one too small for subnormals. */
function decimalExponent(magnitude: number): number {
  float[0] = magnitude;
  const binary = ((bits[0]! >>> 23) & 255) - 127;
  const guess = Math.floor(binary * LOG10_OF_2);
  const next = guess + 1;
  if (next < 0) return next >= -LARGEST_EXACT_POWER && magnitude * POWERS[-next]! >= 1 ? next : guess;
  return next <= LARGEST_EXACT_POWER && magnitude >= POWERS[next]! ? next : guess;
}

/** Writes integer / 10^scale. */
function writeDecimal(buffer: Uint8Array, offset: number, integer: number, scale: number): number {
  let [m, s] = [integer, scale];
  while (m % 10 === 0) {
    m /= 10;
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
    const next = Math.trunc(rest / 10);
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
  let rest = integer;
  for (let at = end - 1; at >= offset; at--) {
    const next = Math.trunc(rest / 10);
    buffer[at] = ZERO + (rest - next * 10);
    rest = next;
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
