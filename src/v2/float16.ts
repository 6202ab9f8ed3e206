const view = new DataView(new ArrayBuffer(4));

/** The smallest magnitudes that round to infinity: half a step above the largest finite value. */
export const FP16_LIMIT = 65520;
export const BF16_LIMIT = 2 ** 128 - 2 ** 119;

/** binary16 bits of a number, rounded to the nearest, ties to even (IEEE 754). */
export function toFloat16(value: number): number {
  view.setFloat16(0, value);
  return view.getUint16(0);
}

export function fromFloat16(bits: number): number {
  view.setUint16(0, bits);
  return view.getFloat16(0);
}

const TIE = 0x8000;
const QUIET_NAN = 0x7fc0;

/** bfloat16 bits of a number: the upper half of its binary32, rounded to the nearest, ties to even. */
export function toBfloat16(value: number): number {
  if (Number.isNaN(value)) return QUIET_NAN;
  view.setFloat32(0, value);
  const upper = view.getUint16(0);
  const lower = view.getUint16(2);
  if (lower !== TIE) return lower > TIE ? upper + 1 : upper;
  // Rounding to binary32 may have made the tie: then the number itself says which way.
  const lost = Math.abs(value) - Math.abs(view.getFloat32(0));
  if (lost !== 0) return lost > 0 ? upper + 1 : upper;
  return upper + (upper & 1);
}

export function fromBfloat16(bits: number): number {
  view.setUint32(0, bits << 16);
  return view.getFloat32(0);
}
