import { ARRAY_TYPES, type Datatype, invalid, type TensorData } from "../contracts/index.ts";
import { EXACT_FILLS, FILLS, type Fill } from "./fills.ts";
import { shown } from "./messages.ts";

export { UNSAFE_INTEGER } from "./fills.ts";

/**
 * The elements of a JSON tensor, given flat or nested as its shape (row-major). Every value is checked.
 * @param count product of `shape`.
 * @param exact whether the JSON was parsed with all digits of its integers.
 * @throws CapstanError INVALID_ARGUMENT naming the element; UNSAFE_INTEGER when digits would be lost, which
 * does not happen with `exact`.
 */
export function readJsonElements(
  datatype: Datatype,
  shape: readonly number[],
  count: number,
  data: unknown,
  where: string,
  exact = false,
): TensorData {
  if (!Array.isArray(data)) throw invalid(`${where}: 'data' must be an array, not ${shown(data)}`);
  const nested = shape.length > 1 && Array.isArray(data[0]);
  if (!nested && data.length !== count) {
    throw invalid(`${where}: shape [${shape}] has ${count} elements, and 'data' has ${data.length}`);
  }
  if (nested) checkNesting(shape, 0, data, where);
  const target: TensorData = datatype === "BYTES" ? new Array(count) : new ARRAY_TYPES[datatype](count);
  const fill = (exact ? EXACT_FILLS : FILLS)[datatype];
  if (nested) fillNested(fill, target, shape.length - 1, 0, data, where);
  else fill(target, 0, data, where);
  return target;
}

/** Lists as long and as deep as the shape says: checked before anything is allocated for it. */
function checkNesting(
  shape: readonly number[],
  depth: number,
  data: readonly unknown[],
  where: string,
): void {
  if (data.length !== shape[depth]) {
    throw invalid(
      `${where}: nested 'data' has a list of ${data.length} where shape [${shape}] has ${shape[depth]}`,
    );
  }
  if (depth === shape.length - 1) return;
  for (const row of data) {
    if (!Array.isArray(row))
      throw invalid(`${where}: nested 'data' has ${shown(row)} where shape [${shape}] has a list`);
    checkNesting(shape, depth + 1, row, where);
  }
}

/** Reads the lists at the bottom in turn; returns the offset behind what was read. */
function fillNested(
  fill: Fill,
  target: TensorData,
  levels: number,
  offset: number,
  data: unknown[],
  where: string,
): number {
  if (levels === 0) {
    fill(target, offset, data, where);
    return offset + data.length;
  }
  let at = offset;
  for (const row of data) at = fillNested(fill, target, levels - 1, at, row as unknown[], where);
  return at;
}
