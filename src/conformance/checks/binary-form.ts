/** B2 to B6: headers, lengths, and which outputs are binary. */
import { gzipSync } from "node:zlib";
import { encodeBinary } from "../binary.ts";
import {
  BINARY_HEADER,
  BINARY_OUTPUT,
  BINARY_SOURCE,
  type BinaryRequest,
  binaryAnswer,
  binaryRequest,
  binaryTensor,
  bodyOf,
  sendBinary,
} from "../binary-http.ts";
import { type Check, checksFrom } from "../define.ts";
import { expect, expectEqual } from "../expect.ts";
import { expectOk, expectRefused } from "../http-client.ts";
import { sampleInputs, sampleTensor } from "../samples.ts";
import { inferPath, type Session } from "../session.ts";
import { extension, practice } from "../sources.ts";
import { NotApplicable } from "../types.ts";

const any = checksFrom(BINARY_SOURCE, ["target", "binary"]);

function request(session: Session, extra: object = {}): BinaryRequest {
  return binaryRequest(sampleInputs(session.target), extra);
}

async function refusedWith(
  session: Session,
  change: (request: BinaryRequest) => BinaryRequest,
  what: string,
): Promise<void> {
  expectRefused(await sendBinary(session, session.target.name, change(request(session))), what);
}

async function dataAndSize(session: Session): Promise<void> {
  const inputs = sampleInputs(session.target);
  const parts = inputs.map(binaryTensor);
  const both = parts.map(({ json }, index) => ({ ...json, data: inputs[index]?.data }));
  const whole = { json: { inputs: both }, bytes: parts.map(({ bytes }) => bytes) };
  expectRefused(await sendBinary(session, session.target.name, whole), "data beside binary_data_size");
}

/** Names of the binary outputs, when the first two are asked for with these parameters. */
async function binaryOutputs(
  session: Session,
  extra: object,
  first: object,
  second: object,
): Promise<string[]> {
  const [one, other] = session.target.outputs.map(({ name }) => name);
  if (one === undefined || other === undefined) throw new NotApplicable("this needs two outputs");
  const outputs = [
    { name: one, ...first },
    { name: other, ...second },
  ];
  const reply = await sendBinary(session, session.target.name, request(session, { ...extra, outputs }));
  return [...binaryAnswer(reply).binary];
}

const asBinary = (value: boolean): object => ({ parameters: { binary_data: value } });

async function perOutput(session: Session): Promise<void> {
  const [first] = session.target.outputs.map(({ name }) => name);
  expectEqual(await binaryOutputs(session, {}, asBinary(true), {}), [first], "binary_data true on the first");
  const overridden = await binaryOutputs(session, BINARY_OUTPUT, asBinary(true), asBinary(false));
  expectEqual(overridden, [first], "binary_data false on the second, binary_data_output true");
}

async function listedFollowRequest(session: Session): Promise<void> {
  const second = session.target.outputs[1]?.name;
  const binary = await binaryOutputs(session, BINARY_OUTPUT, asBinary(false), {});
  expectEqual(binary, [second], "binary_data_output true, second output listed without binary_data");
}

async function rawBody(session: Session): Promise<void> {
  const { single } = session.facts;
  const [spec] = single?.inputs ?? [];
  if (!single || !spec) throw new NotApplicable("no model with exactly one input is served");
  const reply = await session.http.send("POST", inferPath(single.name), {
    body: encodeBinary(spec.datatype, sampleTensor(spec).data),
    headers: { "content-type": "application/octet-stream", [BINARY_HEADER]: "0" },
  });
  expect(binaryAnswer(reply).binary.length > 0, "the answer has no binary output");
}

async function chunked(session: Session): Promise<void> {
  const { body, headers } = bodyOf(request(session));
  const head = session.head("POST", inferPath(session.target.name), {
    ...headers,
    "transfer-encoding": "chunked",
  });
  const halves = [body.subarray(0, 7), body.subarray(7)];
  const chunks = halves.flatMap((half) => [
    Buffer.from(`${half.length.toString(16)}\r\n`),
    half,
    Buffer.from("\r\n"),
  ]);
  const { status, text } = await session.raw([head, ...chunks, Buffer.from("0\r\n\r\n")]);
  expect(status === 200, `expected 200, got ${status} ${text.slice(0, 200)}`);
}

async function compressed(session: Session): Promise<void> {
  const { body, headers } = bodyOf(request(session));
  const reply = await session.http.send("POST", inferPath(session.target.name), {
    body: gzipSync(body),
    headers: { ...headers, "content-encoding": "gzip" },
  });
  binaryAnswer(reply);
}

const bad = (id: string, title: string, change: (request: BinaryRequest) => BinaryRequest): Check =>
  any.must(id, title, (s) => refusedWith(s, change, title));

export const binaryFormChecks: readonly Check[] = [
  bad("B2.missing-bytes", "bytes missing at the end are refused", (r) => ({
    ...r,
    bytes: r.bytes.slice(0, -1),
  })),
  bad("B2.left-over", "bytes left over at the end are refused", (r) => ({
    ...r,
    bytes: [...r.bytes, Buffer.alloc(8)],
  })),
  any.must("B2.size-shape", "a binary_data_size that is not the shape's is refused", async (s) => {
    const parts = sampleInputs(s.target)
      .map(binaryTensor)
      .map(({ json, bytes }) => ({
        json: { ...json, parameters: { binary_data_size: bytes.length + 1 } },
        bytes: Buffer.concat([bytes, Buffer.alloc(1)]),
      }));
    const whole = { json: { inputs: parts.map((p) => p.json) }, bytes: parts.map((p) => p.bytes) };
    expectRefused(await sendBinary(s, s.target.name, whole), "one byte more than the shape");
  }),
  any.should("B2.data-and-size", "an input with both data and binary_data_size is refused", dataAndSize),
  any.must("B3.request-wide", "binary_data_output makes every output binary", async (s) => {
    const answer = binaryAnswer(await sendBinary(s, s.target.name, request(s, BINARY_OUTPUT)));
    expectEqual(answer.binary.length, answer.outputs.length, "binary outputs");
  }),
  any.must("B3.per-output", "binary_data of an output overrides it", perOutput),
  any.should(
    "B3.listed",
    "binary_data_output holds for outputs listed without binary_data",
    listedFollowRequest,
  ),
  any.must("B3.json-default", "without either, outputs are JSON", async (s) => {
    expectEqual(binaryAnswer(await sendBinary(s, s.target.name, request(s))).binary, [], "binary outputs");
  }),
  any.must("B4.header", "a binary answer carries its JSON's length", async (s) => {
    const reply = expectOk(await sendBinary(s, s.target.name, request(s, BINARY_OUTPUT)), "infer");
    expect(
      /^\d+$/.test(reply.headers[BINARY_HEADER] ?? ""),
      `${BINARY_HEADER} is ${reply.headers[BINARY_HEADER] ?? "absent"}`,
    );
  }),
  any.must("B4.content-type", "a binary answer is application/octet-stream", async (s) => {
    const reply = expectOk(await sendBinary(s, s.target.name, request(s, BINARY_OUTPUT)), "infer");
    expectEqual(reply.headers["content-type"], "application/octet-stream", "content-type");
  }),
  checksFrom(extension("binary_data", "Raw Binary Request"), ["binary"]).must(
    "B5.raw-body",
    "header value 0: the whole body is the one input",
    rawBody,
  ),
  bad("B6.not-a-number", "a header that is no integer is refused", (r) => ({ ...r, headerLength: "ten" })),
  bad("B6.negative", "a negative header is refused", (r) => ({ ...r, headerLength: "-1" })),
  bad("B6.too-large", "a header beyond the body is refused", (r) => ({ ...r, headerLength: "99999999" })),
  bad("B6.too-small", "a header that cuts the JSON is refused", (r) => ({ ...r, headerLength: "5" })),
  any.must("B6.chunked", "chunked transfer works", chunked),
  checksFrom(practice("lengths are those of the decompressed body"), ["target", "binary"]).should(
    "B6.gzip",
    "lengths are those of the decompressed body",
    compressed,
  ),
];
