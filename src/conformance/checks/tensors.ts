/** R11, R12, R15: shapes, JSON data and datatypes. Element checks need the reference model. */
import type { Datatype } from "../../contracts/index.ts";
import { type Check, checksFrom } from "../define.ts";
import { expect, shown } from "../expect.ts";
import { wrongShapes } from "../faults.ts";
import { expectOk, expectRefused, type Reply } from "../http-client.ts";
import { inputName, outputName, REFERENCE_DATATYPES } from "../reference-model.ts";
import { expectTensor, expectValues, outputNamed, sampleInputs, type Value, withInput } from "../samples.ts";
import type { Session } from "../session.ts";
import { practice, rest } from "../sources.ts";
import { expectAllRefused } from "./errors.ts";

const shapes = checksFrom(rest("Request Input"), ["target"]);
const data = checksFrom(rest("Tensor Data"), ["reference"]);
const datatypes = checksFrom(rest("Tensor Data Types"), ["reference"]);
const custom = checksFrom(practice("JSON forms of protocol buffers and of MLServer"), ["reference"]);

const ROWS = 2;

/** The reference model asked with one input changed. */
async function askReference(session: Session, name: string, change: object): Promise<Reply> {
  const inputs = withInput(sampleInputs(session.reference), name, change);
  return session.infer(session.reference, { inputs });
}

/** @throws CheckFailure unless the values come back as they went. */
async function echoes(session: Session, datatype: Datatype, values: readonly Value[]): Promise<void> {
  const name = inputName(datatype);
  const shape = [values.length / 2, 2];
  const reply = expectOk(await askReference(session, name, { shape, data: values }), `${datatype} data`);
  expectTensor(reply.json(), outputName(name), { name, datatype, shape, data: values });
}

const EXAMPLES: Readonly<Partial<Record<Datatype, readonly Value[]>>> = {
  BOOL: [true, false, false, true],
  UINT8: [0, 1, 127, 255],
  UINT16: [0, 1, 256, 65535],
  UINT32: [0, 1, 65536, 4294967295],
  UINT64: [0, 1, 4294967296, 9007199254740991],
  INT8: [-128, -1, 0, 127],
  INT16: [-32768, -1, 0, 32767],
  INT32: [-2147483648, -1, 0, 2147483647],
  INT64: [-9007199254740991, -1, 0, 9007199254740991],
  FP32: [0.1, -2.5, 1e-38, 3.4028234663852886e38],
  FP64: [0.1, -2.5, 5e-324, 1.7976931348623157e308],
  BYTES: ["", "plain", 'quote " and \\', "ünïcode 漢字 🙂"],
};

const refuses =
  (datatype: Datatype, values: readonly unknown[]) =>
  async (session: Session): Promise<void> => {
    const reply = await askReference(session, inputName(datatype), { shape: [1, 2], data: values });
    expectRefused(reply, `${shown(values)} as ${datatype}`);
  };

async function flatAndNested(session: Session): Promise<void> {
  const name = inputName("INT32");
  const shape = [ROWS, 2];
  for (const form of [
    [1, 2, 3, 4],
    [
      [1, 2],
      [3, 4],
    ],
  ]) {
    const reply = expectOk(await askReference(session, name, { shape, data: form }), shown(form));
    expectValues("INT32", outputNamed(reply.json(), outputName(name)).data, [1, 2, 3, 4], shown(form));
  }
}

async function nonFinite(session: Session): Promise<void> {
  const name = inputName("FP32");
  const values = ["NaN", "Infinity", "-Infinity", 1];
  const reply = expectOk(await askReference(session, name, { shape: [2, 2], data: values }), shown(values));
  const { data: back } = outputNamed(reply.json(), outputName(name));
  expect(shown([back].flat(3)) === shown(values), `expected ${shown(values)}, got ${shown(back)}`);
}

/** "plain" sent as base64; it comes back as text, or as base64 that says so. */
async function base64(session: Session): Promise<void> {
  const name = inputName("BYTES");
  const sent = Buffer.from("plain").toString("base64");
  const change = { shape: [1, 2], data: [sent, sent], parameters: { content_type: "base64" } };
  const reply = expectOk(await askReference(session, name, change), "base64");
  const { data: back, parameters } = outputNamed(reply.json(), outputName(name));
  const wanted = parameters.content_type === "base64" ? sent : "plain";
  expectValues("BYTES", back, [wanted, wanted], "data");
}

async function column(session: Session): Promise<void> {
  const reply = expectOk(
    await askReference(session, "in_column", { shape: [3], data: [1, 2, 3] }),
    "[3] for [-1,1]",
  );
  expectValues("FP32", outputNamed(reply.json(), "out_column").data, [1, 2, 3], "data");
}

const jsonDatatypes = REFERENCE_DATATYPES.map((datatype) =>
  datatypes.must(`R15.${datatype}`, `${datatype} comes back as it went, in JSON`, (s) =>
    echoes(s, datatype, EXAMPLES[datatype] ?? []),
  ),
);

export const tensorChecks: readonly Check[] = [
  shapes.must("R11.count", "shapes that do not fit the data, or are not sizes, are refused", (s) =>
    expectAllRefused(s, wrongShapes(s)),
  ),
  data.should("R11.empty", "a tensor of no rows is answered with no rows", (s) => echoes(s, "FP32", [])),
  checksFrom(practice("MLServer clients send [N] for [N,1]"), ["reference"]).should(
    "R11.column",
    "[N] is accepted where the model says [N,1]",
    column,
  ),
  data.must("R12.flat-nested", "flat and nested data mean the same, row-major", flatAndNested),
  data.must(
    "R12.ragged",
    "nested data that does not fit the shape is refused",
    refuses("INT32", [[1, 2], [3]]),
  ),
  data.must("R12.int64", "INT64 beyond 2^53 survives", (s) =>
    echoes(s, "INT64", [9007199254740993n, -9223372036854775808n, 9223372036854775807n, 1n]),
  ),
  data.must("R12.uint64", "UINT64 beyond 2^63 survives", (s) =>
    echoes(s, "UINT64", [18446744073709551615n, 9223372036854775809n, 9007199254740993n, 0n]),
  ),
  data.must("R12.range", "300 in INT8 is refused, not wrapped", refuses("INT8", [300, 1])),
  data.must("R12.negative", "-1 in UINT8 is refused, not wrapped", refuses("UINT8", [-1, 1])),
  data.must("R12.fraction", "1.5 in INT32 is refused, not cut", refuses("INT32", [1.5, 1])),
  data.must("R12.string-number", 'the string "1" in FP32 is refused', refuses("FP32", ["1", 1])),
  data.must("R12.number-string", "a number in BYTES is refused", refuses("BYTES", [1, "a"])),
  data.must("R12.null", "null is refused", refuses("FP32", [null, 1])),
  custom.should("R12.non-finite", "NaN and infinities travel as strings", nonFinite),
  ...jsonDatatypes,
  custom.should("R15.base64", "BYTES with content_type base64 are decoded", base64),
];
