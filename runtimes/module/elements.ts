import { ARRAY_TYPES, type Datatype, type TensorData } from "../../src/contracts/index.ts";

export type Element = number | bigint | boolean | string | Uint8Array;

/**
 * Elements in the array of their datatype; an array that is it already is passed on.
 * @throws TypeError for an element that the datatype does not hold, with its index.
 */
export function toData(name: string, datatype: Datatype, elements: ArrayLike<Element>): TensorData {
  if (datatype === "BYTES") return Array.from(elements, (element, index) => toBytes(name, element, index));
  if (datatype === "BOOL") return Uint8Array.from(elements, (element, index) => toBool(name, element, index));
  if (datatype === "FP16" || datatype === "BF16") return toHalf(name, datatype, elements);
  const Target = ARRAY_TYPES[datatype];
  if (elements instanceof Target) return elements;
  const target = new Target(elements.length);
  for (let index = 0; index < elements.length; index += 1) {
    const value = toNumber(name, datatype, elements[index]!, index);
    target[index] = value;
    const exact = target[index] === value || datatype.startsWith("FP");
    if (!exact) throw misfit(name, datatype, elements[index]!, index);
  }
  return target;
}

/** A number or a bigint, whichever the datatype's array holds. */
function toNumber(name: string, datatype: Datatype, element: Element, index: number): number & bigint {
  const isNumber = typeof element === "number" || typeof element === "bigint";
  const isWhole = typeof element === "bigint" || Number.isInteger(element);
  if (!isNumber || (!datatype.startsWith("FP") && !isWhole)) throw misfit(name, datatype, element, index);
  return (datatype.endsWith("64") && datatype !== "FP64" ? BigInt(element) : Number(element)) as number &
    bigint;
}

function toBytes(name: string, element: Element, index: number): Uint8Array {
  if (typeof element === "string") return Buffer.from(element, "utf8");
  if (element instanceof Uint8Array) return element;
  throw misfit(name, "BYTES", element, index);
}

function toBool(name: string, element: Element, index: number): number {
  if (element === true || element === 1) return 1;
  if (element === false || element === 0) return 0;
  throw misfit(name, "BOOL", element, index);
}

/** Bits as they are; numbers are rounded to the nearest. */
function toHalf(name: string, datatype: "FP16" | "BF16", elements: ArrayLike<Element>): Uint16Array {
  if (elements instanceof Uint16Array) return elements;
  const values = toData(name, "FP32", elements) as Float32Array;
  if (datatype === "FP16") return new Uint16Array(Float16Array.from(values).buffer);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(bits, roundToUpperHalf);
}

/** Half to even; a NaN stays one. */
function roundToUpperHalf(bits: number): number {
  const isNan = (bits & 0x7fffffff) > 0x7f800000;
  if (isNan) return (bits >>> 16) | 0x40;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

function misfit(name: string, datatype: Datatype, element: Element, index: number): TypeError {
  const shown = typeof element === "bigint" ? `${element}n` : (JSON.stringify(element) ?? String(element));
  return new TypeError(`output '${name}': element ${index} is ${shown}, which is not ${datatype}`);
}
