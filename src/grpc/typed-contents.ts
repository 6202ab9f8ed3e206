/** Typed contents of tensors (V2 gRPC, InferTensorContents): one repeated field for each group of datatypes. */
import { type Datatype, invalid, type TensorArrays, type TensorData } from "../contracts/index.ts";
import type { inference } from "./generated/inference.js";

type Contents = inference.InferTensorContents;
type Sent = inference.InferTensorContents.Init;
type Field = keyof Contents & `${string}Contents`;

interface TypedForm<D extends Datatype> {
  readonly field: Field;
  /** Smallest and largest value, where the field is wider than the datatype. */
  readonly range?: readonly [number, number];
  read(contents: Contents): TensorArrays[D];
  write(data: TensorArrays[D]): Sent;
}

type Forms = { readonly [D in Datatype]: TypedForm<D> | undefined };

/** FP16 and BF16 have no field: the protocol carries them as raw contents only. */
const FORMS: Forms = {
  BOOL: {
    field: "boolContents",
    read: ({ boolContents }) => booleanBytes(boolContents),
    write: (data) => ({ boolContents: Array.from(data, Boolean) }),
  },
  UINT8: unsigned([0, 0xff], Uint8Array),
  UINT16: unsigned([0, 0xffff], Uint16Array),
  UINT32: unsigned(undefined, Uint32Array),
  UINT64: {
    field: "uint64Contents",
    read: ({ uint64Contents }) => new BigUint64Array(uint64Contents),
    write: (uint64Contents) => ({ uint64Contents }),
  },
  INT8: signed([-0x80, 0x7f], Int8Array),
  INT16: signed([-0x8000, 0x7fff], Int16Array),
  INT32: signed(undefined, Int32Array),
  INT64: {
    field: "int64Contents",
    read: ({ int64Contents }) => new BigInt64Array(int64Contents),
    write: (int64Contents) => ({ int64Contents }),
  },
  FP16: undefined,
  BF16: undefined,
  FP32: {
    field: "fp32Contents",
    read: ({ fp32Contents }) => new Float32Array(fp32Contents),
    write: (fp32Contents) => ({ fp32Contents }),
  },
  FP64: {
    field: "fp64Contents",
    read: ({ fp64Contents }) => new Float64Array(fp64Contents),
    write: (fp64Contents) => ({ fp64Contents }),
  },
  BYTES: {
    field: "bytesContents",
    read: ({ bytesContents }) => bytesContents,
    write: (bytesContents) => ({ bytesContents }),
  },
};

type NumberArray<A> = new (values: ArrayLike<number>) => A;

function signed<A extends Int8Array | Int16Array | Int32Array>(
  range: readonly [number, number] | undefined,
  ArrayType: NumberArray<A>,
) {
  return {
    field: "intContents" as const,
    range,
    read: ({ intContents }: Contents) => new ArrayType(intContents),
    write: (intContents: A): Sent => ({ intContents }),
  };
}

function unsigned<A extends Uint8Array | Uint16Array | Uint32Array>(
  range: readonly [number, number] | undefined,
  ArrayType: NumberArray<A>,
) {
  return {
    field: "uintContents" as const,
    range,
    read: ({ uintContents }: Contents) => new ArrayType(uintContents),
    write: (uintContents: A): Sent => ({ uintContents }),
  };
}

function booleanBytes(values: readonly boolean[]): Uint8Array {
  const bytes = new Uint8Array(values.length);
  for (let index = 0; index < values.length; index += 1) bytes[index] = values[index] ? 1 : 0;
  return bytes;
}

const FIELDS: readonly Field[] = [...new Set(Object.values(FORMS).flatMap((form) => form?.field ?? []))];

/** Whether an answer with this datatype can be written as typed contents. */
export function hasTypedForm(datatype: Datatype): boolean {
  return FORMS[datatype] !== undefined;
}

/**
 * The elements of an input.
 * @param count of elements that its shape asks for.
 * @param where names the input, for messages.
 * @throws CapstanError INVALID_ARGUMENT for elements in another field, a wrong number of them, or one that is
 * out of the datatype's range.
 */
export function readTypedContents(
  datatype: Datatype,
  contents: Contents | null,
  count: number,
  where: string,
): TensorData {
  const form = FORMS[datatype];
  if (form === undefined) {
    throw invalid(`${where}: ${datatype} has no typed contents; send it in raw_input_contents`);
  }
  const given = contents?.[form.field].length ?? 0;
  if (contents) checkOtherFields(datatype, contents, form.field, where);
  if (given !== count) {
    throw invalid(`${where}: its shape asks for ${count} elements, and ${snake(form.field)} has ${given}`);
  }
  if (contents === null) return form.read(NOTHING);
  if (form.range) checkRange(contents[form.field] as number[], form.range, datatype, where);
  return form.read(contents);
}

const NOTHING = Object.fromEntries(FIELDS.map((field) => [field, []])) as unknown as Contents;

function checkOtherFields(datatype: Datatype, contents: Contents, field: Field, where: string): void {
  for (const other of FIELDS) {
    if (other !== field && contents[other].length > 0) {
      throw invalid(
        `${where}: elements of ${datatype} belong into ${snake(field)}, not into ${snake(other)}`,
      );
    }
  }
}

function checkRange(
  values: readonly number[],
  [least, most]: readonly [number, number],
  datatype: Datatype,
  where: string,
) {
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index]!;
    if (value < least || value > most) {
      throw invalid(
        `${where}: element ${index} is ${value}, which is not a ${datatype} (${least} to ${most})`,
      );
    }
  }
}

const snake = (field: string) => field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** An output's elements as typed contents; its datatype must have that form ({@link hasTypedForm}). */
export function writeTypedContents(datatype: Datatype, data: TensorData): Sent {
  const form = FORMS[datatype] as TypedForm<Datatype> | undefined;
  if (form === undefined) throw new TypeError(`${datatype} has no typed contents`);
  return form.write(data as never);
}
