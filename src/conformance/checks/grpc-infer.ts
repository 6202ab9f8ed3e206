/** G4 to G10, and message sizes of G12: tensors over gRPC. */
import { status } from "@grpc/grpc-js";
import type { Datatype } from "../../contracts/index.ts";
import { GRPCInferenceService } from "../../grpc/generated/services.ts";
import { contentValues, typedContents } from "../binary.ts";
import { type Check, checksFrom } from "../define.ts";
import { expect, expectEqual } from "../expect.ts";
import { expectGrpcOk, expectGrpcRefused } from "../grpc-client.ts";
import { grpcValues, header, type InferInit, modelInfer, rawRequest, typedRequest } from "../grpc-tensors.ts";
import { inputName, outputName, REFERENCE_DATATYPES } from "../reference-model.ts";
import { expectValues, type JsonTensor, sampleInputs, sampleTensor } from "../samples.ts";
import type { Session } from "../session.ts";
import { grpc, practice } from "../sources.ts";
import { NotApplicable } from "../types.ts";

const contents = checksFrom(grpc("ModelInferRequest, InferTensorContents"), ["grpc", "target"]);
const echo = checksFrom(grpc("InferTensorContents"), ["grpc", "reference"]);
const response = checksFrom(grpc("ModelInferResponse"), ["grpc", "target"]);
const form = checksFrom(practice("MLServer and KServe answer in the request's form"), ["grpc", "target"]);

/** 4.24 MB in FP32 pairs: just above 4 MiB. */
const LARGE_ROWS = 530_000;

async function refused(session: Session, change: (raw: InferInit) => InferInit, what: string): Promise<void> {
  const { name } = session.target;
  expectGrpcRefused(await modelInfer(session, change(rawRequest(name, sampleInputs(session.target)))), what);
}

const bad = (id: string, title: string, change: (raw: InferInit) => InferInit): Check =>
  contents.must(id, title, (session) => refused(session, change, title));

const parts = (raw: InferInit): Uint8Array[] => [...(raw.rawInputContents ?? [])];

/** One tensor of the reference model replaced in a typed request. */
async function typedRefused(
  session: Session,
  tensor: JsonTensor,
  given: object,
  what: string,
): Promise<void> {
  const { reference } = session;
  const others = sampleInputs(reference).filter(({ name }) => name !== tensor.name);
  const { inputs = [] } = typedRequest(reference.name, others);
  const changed = { ...header(tensor), contents: given };
  const request = { modelName: reference.name, inputs: [...(inputs ?? []), changed] };
  expectGrpcRefused(await modelInfer(session, request), what);
}

const pair = (datatype: Datatype): JsonTensor => ({
  name: inputName(datatype),
  datatype,
  shape: [1, 2],
  data: datatype === "FP32" ? [1, 2] : [1, 1],
});

type MakeRequest = (model: string, inputs: readonly JsonTensor[]) => InferInit;

async function datatypeEchoes(session: Session, datatype: Datatype, make: MakeRequest): Promise<void> {
  const { reference } = session;
  const inputs = sampleInputs(reference, 3);
  const answer = expectGrpcOk(await modelInfer(session, make(reference.name, inputs)), "ModelInfer");
  const wanted = inputs.find(({ name }) => name === inputName(datatype));
  expectValues(datatype, grpcValues(answer, outputName(inputName(datatype))), wanted?.data ?? [], datatype);
}

async function neverBoth(session: Session): Promise<void> {
  for (const make of [rawRequest, typedRequest]) {
    const request = make(session.target.name, sampleInputs(session.target));
    const { outputs, rawOutputContents } = expectGrpcOk(await modelInfer(session, request), "ModelInfer");
    const typed = outputs.filter(
      ({ contents: typedPart }) => typedPart && contentValues(typedPart).length > 0,
    ).length;
    expect(typed === 0 || rawOutputContents.length === 0, "raw contents and typed contents in one answer");
    expectEqual(typed + rawOutputContents.length, outputs.length, "outputs that carry data");
  }
}

async function rawForRaw(session: Session): Promise<void> {
  const reply = await modelInfer(session, rawRequest(session.target.name, sampleInputs(session.target)));
  const { outputs, rawOutputContents } = expectGrpcOk(reply, "ModelInfer");
  expectEqual(rawOutputContents.length, outputs.length, "raw outputs");
}

async function typedForTyped(session: Session): Promise<void> {
  const reply = await modelInfer(session, typedRequest(session.target.name, sampleInputs(session.target)));
  const { rawOutputContents } = expectGrpcOk(reply, "ModelInfer");
  expectEqual(rawOutputContents.length, 0, "raw outputs");
}

async function half(session: Session): Promise<void> {
  const model = session.facts.half;
  if (!model) throw new NotApplicable("the FP16 reference model is not served");
  const tensor: JsonTensor = { name: "in_fp16", datatype: "FP16", shape: [1, 2], data: [0.5, 65504] };
  const answer = expectGrpcOk(
    await modelInfer(session, rawRequest(model.name, [tensor])),
    "FP16 in raw contents",
  );
  expectValues("FP16", grpcValues(answer, "out_fp16"), tensor.data, "FP16 and back");
  const typed = {
    modelName: model.name,
    inputs: [{ ...header(tensor), contents: { fp32Contents: [1, 2] } }],
  };
  expectGrpcRefused(await modelInfer(session, typed), "FP16 in typed contents");
}

async function largeMessage(session: Session): Promise<void> {
  const { reference } = session;
  const name = inputName("FP32");
  const large = sampleTensor({ name, datatype: "FP32", shape: [-1, 2] }, LARGE_ROWS);
  const inputs = sampleInputs(reference).map((input) => (input.name === name ? large : input));
  const answer = expectGrpcOk(await modelInfer(session, rawRequest(reference.name, inputs)), "4.24 MB");
  expectEqual(grpcValues(answer, outputName(name)).length, LARGE_ROWS * 2, "elements that came back");
}

const both = REFERENCE_DATATYPES.flatMap((datatype) => [
  echo.must(`G6.${datatype}`, `${datatype} in raw contents`, (s) => datatypeEchoes(s, datatype, rawRequest)),
  echo.must(`G7.${datatype}`, `${datatype} in typed contents`, (s) =>
    datatypeEchoes(s, datatype, typedRequest),
  ),
]);

export const grpcInferChecks: readonly Check[] = [
  contents.must("G4.both", "raw contents beside typed contents are refused", async (s) => {
    const inputs = sampleInputs(s.target);
    const typed = typedRequest(s.target.name, inputs).inputs ?? [];
    expectGrpcRefused(await modelInfer(s, rawRequest(s.target.name, inputs, { inputs: typed })), "both");
  }),
  contents.should("G5.surplus", "more raw contents than inputs are refused", (s) =>
    refused(
      s,
      (r) => ({ ...r, rawInputContents: [...parts(r), Buffer.alloc(4)] }),
      "one raw content more than inputs",
    ),
  ),
  bad("G5.missing", "fewer raw contents than inputs are refused", (r) => ({
    ...r,
    rawInputContents: parts(r).slice(1),
  })),
  bad("G5.short", "raw contents shorter than the shape are refused", (r) => ({
    ...r,
    rawInputContents: parts(r).map((bytes) => bytes.subarray(1)),
  })),
  bad("G5.long", "raw contents longer than the shape are refused", (r) => ({
    ...r,
    rawInputContents: parts(r).map((bytes) => Buffer.concat([bytes, Buffer.alloc(1)])),
  })),
  bad("G5.no-data", "inputs without any contents are refused", (r) => ({ ...r, rawInputContents: [] })),
  bad("G5.negative", "a negative dimension is refused", (r) => ({
    ...r,
    inputs: (r.inputs ?? []).map((input) => ({ ...input, shape: Array.from(input.shape ?? [], () => -1) })),
  })),
  ...both,
  echo.must("G7.wrong-field", "another datatype's field is refused", (s) =>
    typedRefused(s, pair("FP32"), { intContents: [1, 2] }, "int_contents for FP32"),
  ),
  echo.must("G7.two-fields", "a second field is refused", (s) =>
    typedRefused(s, pair("FP32"), { fp32Contents: [1, 2], fp64Contents: [1, 2] }, "two fields"),
  ),
  echo.must("G7.count", "fewer elements than the shape are refused", (s) =>
    typedRefused(s, pair("FP32"), { fp32Contents: [1] }, "one element for [1,2]"),
  ),
  echo.must("G7.range", "300 in INT8 is refused, not wrapped", (s) =>
    typedRefused(s, pair("INT8"), { ...typedContents(pair("INT8")), intContents: [300, 1] }, "300 in INT8"),
  ),
  checksFrom(grpc("InferTensorContents"), ["grpc"]).must("G8.FP16", "FP16 is raw, and only raw", half),
  response.must("G9.never-both", "an answer is raw or typed, never both", neverBoth),
  form.must("G9.raw", "a raw request is answered raw", rawForRaw),
  form.should("G9.typed", "a typed request is answered typed", typedForTyped),
  response.must("G10.id", "the id comes back, and the version is named", async (s) => {
    const request = rawRequest(s.target.name, sampleInputs(s.target), { id: "42" });
    const { id, modelName, modelVersion } = expectGrpcOk(await modelInfer(s, request), "ModelInfer");
    expectEqual([id, modelName], ["42", s.target.name], "id and model_name");
    const { versions } = s.target;
    expect(versions.length === 0 || versions.includes(modelVersion), `model_version is '${modelVersion}'`);
  }),
  echo.should("G12.size", "messages above gRPC's default of 4 MiB go both ways", largeMessage),
  response.must("G12.deadline", "a deadline that has passed does no harm", async (s) => {
    const request = rawRequest(s.target.name, sampleInputs(s.target));
    const late = await s.grpc.unary(GRPCInferenceService.ModelInfer, request, { deadlineMs: 0 });
    expectEqual(late.code, status.DEADLINE_EXCEEDED, "status");
    expectGrpcOk(await modelInfer(s, request), "an ordinary request afterwards");
  }),
];
