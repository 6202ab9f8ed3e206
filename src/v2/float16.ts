const view = new DataView(new ArrayBuffer(4));

/** Largest finite values; what rounds beyond them does not fit. */
export const FP16_MAX = 65504;
export const BF16_MAX = 3.3895313892515355e38;

/** binary16 bits of a number, rounded to the nearest, ties to even (IEEE 754). */
export function toFloat16(value: number): number {
  view.setFloat16(0, value);
  return view.getUint16(0);
}

export function fromFloat16(bits: number): number {
  view.setUint16(0, bits);
  return view.getFloat16(0);
}

/** bfloat16 bits of a number: the upper half of its binary32, rounded to the nearest, ties to even. */
export function toBfloat16(value: number): number {
  view.setFloat32(0, value);
  const bits = view.getUint32(0);
  if (Number.isNaN(value)) return 0x7fc0;
  const roundUp = 0x7fff + ((bits >>> 16) & 1);
  return (bits + roundUp) >>> 16;
}

export function fromBfloat16(bits: number): number {
  view.setUint32(0, bits << 16);
  return view.getFloat32(0);
}
