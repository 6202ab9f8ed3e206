/** B1, B2 and the layout: tensors go through the binary extension unchanged. */
import type { Datatype } from "../../contracts/index.ts";
import { decodeBytes, encodeBinary, encodeBytes } from "../binary.ts";
import {
  BINARY_HEADER,
  BINARY_OUTPUT,
  BINARY_SOURCE,
  binaryAnswer,
  binaryRequest,
  binaryTensor,
  sendBinary,
  valuesOf,
} from "../binary-http.ts";
import { type Check, checksFrom } from "../define.ts";
import { expectEqual } from "../expect.ts";
import { expectRefused } from "../http-client.ts";
import { inputName, outputName, REFERENCE_DATATYPES } from "../reference-model.ts";
import { expectValues, type JsonTensor, sampleInputs } from "../samples.ts";
import type { Session } from "../session.ts";
import { NotApplicable } from "../types.ts";

const echo = checksFrom(BINARY_SOURCE, ["reference", "binary"]);

async function echoesAll(session: Session): Promise<void> {
  const { reference } = session;
  const inputs = sampleInputs(reference, 3);
  const reply = await sendBinary(session, reference.name, binaryRequest(inputs, BINARY_OUTPUT));
  const answer = binaryAnswer(reply);
  for (const { name, datatype, data } of inputs) {
    expectValues(datatype, valuesOf(answer, outputName(name)), data, `'${name}' and back`);
  }
}

async function mixed(session: Session): Promise<void> {
  const { reference } = session;
  const inputs = sampleInputs(reference);
  const parts = inputs.map((input, index) =>
    index % 2 === 0 ? binaryTensor(input) : { json: input, bytes: Buffer.alloc(0) },
  );
  const whole = { json: { inputs: parts.map(({ json }) => json) }, bytes: parts.map(({ bytes }) => bytes) };
  const answer = binaryAnswer(await sendBinary(session, reference.name, whole));
  for (const { name, datatype, data } of inputs) {
    expectValues(datatype, valuesOf(answer, outputName(name)), data, `'${name}' and back`);
  }
}

async function nonUtf8(session: Session): Promise<void> {
  const { reference } = session;
  const name = inputName("BYTES");
  const elements = [Buffer.from([0xff, 0xfe, 0x80]), Buffer.alloc(0)];
  const inputs = sampleInputs(reference);
  const parts = inputs.map((input) =>
    input.name === name ? encodeBytes(elements) : encodeBinary(input.datatype, input.data),
  );
  const described = inputs.map((input, index) => ({
    ...input,
    data: undefined,
    parameters: { binary_data_size: parts[index]?.length },
  }));
  const outputs = [{ name: outputName(name), parameters: { binary_data: true } }];
  const whole = { json: { inputs: described, outputs }, bytes: parts };
  const reply = await sendBinary(session, reference.name, whole);
  if (reply.status !== 200)
    return void expectRefused(reply, "BYTES that are not UTF-8, where the model takes text,");
  const back = decodeBytes(reply.body.subarray(Number(reply.headers[BINARY_HEADER])));
  expectEqual(
    back.map((bytes) => bytes.toString("hex")),
    elements.map((bytes) => bytes.toString("hex")),
    "bytes",
  );
}

async function half(session: Session): Promise<void> {
  const model = session.facts.half;
  if (!model) throw new NotApplicable("the FP16 reference model is not served");
  const tensor: JsonTensor = {
    name: inputName("FP16"),
    datatype: "FP16",
    shape: [2, 2],
    data: [0.5, -2, 65504, 0.0999755859375],
  };
  const answer = binaryAnswer(await sendBinary(session, model.name, binaryRequest([tensor], BINARY_OUTPUT)));
  expectValues("FP16", valuesOf(answer, outputName(tensor.name)), tensor.data, "FP16 and back");
}

async function datatypeAlone(session: Session, datatype: Datatype): Promise<void> {
  const { reference } = session;
  const inputs = sampleInputs(reference, 3);
  const outputs = [{ name: outputName(inputName(datatype)), parameters: { binary_data: true } }];
  const answer = binaryAnswer(await sendBinary(session, reference.name, binaryRequest(inputs, { outputs })));
  const wanted = inputs.find(({ name }) => name === inputName(datatype));
  expectValues(datatype, valuesOf(answer, outputName(inputName(datatype))), wanted?.data ?? [], datatype);
}

export const binaryChecks: readonly Check[] = [
  echo.must("B1.order", "binary tensors follow the JSON in input order", echoesAll),
  echo.must("B2.mixed", "JSON and binary inputs in one request", mixed),
  ...REFERENCE_DATATYPES.map((datatype) =>
    echo.must(`B.${datatype}`, `${datatype} in the binary layout`, (s) => datatypeAlone(s, datatype)),
  ),
  checksFrom(BINARY_SOURCE, ["binary"]).must("B.FP16", "FP16 in the binary layout", half),
  echo.must("B.non-utf8", "BYTES that are not UTF-8 come back unchanged, or are refused", nonUtf8),
];
