/** R7 to R10, R13, R14: the request and the response. */
import { elementCount } from "../../contracts/index.ts";
import { type Check, checksFrom } from "../define.ts";
import { array, expect, expectEqual, record, shown, string } from "../expect.ts";
import { type Fault, wrongSignature } from "../faults.ts";
import { expectOk, expectRefused } from "../http-client.ts";
import { outputsOf, sampleInputs, withInput } from "../samples.ts";
import { inferPath, type Session } from "../session.ts";
import { extension, practice, rest } from "../sources.ts";
import { NotApplicable } from "../types.ts";
import { sendFault } from "./errors.ts";

const request = checksFrom(rest("Inference Request JSON Object"), ["target"]);
const response = checksFrom(rest("Inference Response JSON Object"), ["target"]);
const output = checksFrom(rest("Request Output"), ["target"]);
const input = checksFrom(rest("Request Input"), ["target"]);
const parameters = checksFrom(extension("parameters", "unknown parameters"), ["target"]);
const versions = checksFrom(rest("API table"), ["target", "versions"]);

async function inferOk(session: Session, extra: object = {}): Promise<Record<string, unknown>> {
  const body = { inputs: sampleInputs(session.target), ...extra };
  return record(expectOk(await session.infer(session.target, body), "infer").json(), "the response");
}

async function completeResponse(session: Session): Promise<void> {
  const { name, outputs } = session.target;
  const body = await inferOk(session);
  expectEqual(body.model_name, name, "model_name");
  if (session.target.versions.length > 0) string(body.model_version, "model_version");
  for (const { name: of, datatype, shape, data } of outputsOf(body)) {
    const spec = outputs.find((known) => known.name === of);
    expect(spec, `output '${of}' is not in the metadata`);
    expectEqual(datatype, spec.datatype, `datatype of '${of}'`);
    const count = array(data, `data of '${of}'`).flat(Number.POSITIVE_INFINITY).length;
    expectEqual(count, elementCount(shape), `elements of '${of}', shape ${shown(shape)}`);
  }
}

async function names(session: Session, extra: object): Promise<string[]> {
  return outputsOf(await inferOk(session, extra)).map(({ name }) => name);
}

function outputNames(session: Session, least: number): string[] {
  const all = session.target.outputs.map(({ name }) => name);
  if (all.length < least) throw new NotApplicable(`the model has ${all.length} outputs, this needs ${least}`);
  return all;
}

const asked = (list: readonly string[]): object => ({ outputs: list.map((name) => ({ name })) });

function faultNamed(session: Session, what: string): Fault {
  const fault = wrongSignature(session).find((one) => one.what === what);
  if (!fault) throw new NotApplicable(`no request with ${what} could be made`);
  return fault;
}

const refused =
  (what: string) =>
  async (session: Session): Promise<void> => {
    expectRefused(await sendFault(session, faultNamed(session, what)), what);
  };

async function fixedDimension(session: Session): Promise<void> {
  const spec = session.target.inputs.find(({ shape }) => shape.some((size) => size > 1));
  if (!spec) throw new NotApplicable("no input has a fixed dimension above 1");
  const inputs = sampleInputs(session.target);
  const { shape = [], data = [] } = inputs.find(({ name }) => name === spec.name) ?? {};
  const axis = spec.shape.findLastIndex((size) => size > 1);
  const grown = shape.map((size, index) => (index === axis ? size * 2 : size));
  const changed = withInput(inputs, spec.name, { shape: grown, data: [...data, ...data] });
  const reply = await session.infer(session.target, { inputs: changed });
  expectRefused(reply, `shape ${shown(grown)} where the model says ${shown(spec.shape)}`);
}

async function namesTheInput(session: Session): Promise<void> {
  const [first] = sampleInputs(session.target);
  for (const what of ["another datatype", "another rank", "a missing input"]) {
    const reply = await sendFault(session, faultNamed(session, what));
    expect(reply.text.includes(first?.name ?? ""), `${what}: the message does not name '${first?.name}'`);
  }
}

export const inferChecks: readonly Check[] = [
  request.must("R7.minimal", "a request with inputs alone answers", async (s) => void (await inferOk(s))),
  request.must("R7.full", "a request with id, parameters and outputs answers", async (s) => {
    await inferOk(s, { id: "full", parameters: {}, ...asked(outputNames(s, 1)) });
  }),
  versions.must("R7.version", "infer with /versions/{v} answers as that version", async (s) => {
    const [version] = s.target.versions;
    const reply = await s.http.post(inferPath(s.target.name, version), { inputs: sampleInputs(s.target) });
    expectEqual(record(expectOk(reply, "infer").json(), "response").model_version, version, "model_version");
  }),
  request.must("R8.id-echoed", "the id comes back", async (s) => {
    for (const id of ["42", "ünïcode / id"]) expectEqual((await inferOk(s, { id })).id, id, "id");
  }),
  output.must("R9.all", "without outputs, all come", async (s) => {
    expectEqual((await names(s, {})).toSorted(), outputNames(s, 1).toSorted(), "outputs");
  }),
  output.must("R9.subset", "only the outputs asked for come", async (s) => {
    const last = outputNames(s, 2).slice(-1);
    expectEqual(await names(s, asked(last)), last, "outputs");
  }),
  output.should("R9.order", "outputs come in the order asked", async (s) => {
    const reversed = outputNames(s, 2).toReversed();
    expectEqual(await names(s, asked(reversed)), reversed, "outputs");
  }),
  output.must("R9.unknown-output", "an unknown output is refused", refused("an unknown output")),
  input.must("R10.unknown-input", "an unknown input is refused", refused("an unknown input")),
  input.must("R10.missing-input", "a missing input is refused", refused("a missing input")),
  input.must("R10.datatype", "another datatype than the model's is refused", refused("another datatype")),
  input.must("R10.rank", "another rank than the model's is refused", refused("another rank")),
  input.must("R10.dimension", "another size of a fixed dimension is refused", fixedDimension),
  checksFrom(practice("messages a caller can act on"), ["target"]).should(
    "R10.message",
    "the message names the input at fault",
    namesTheInput,
  ),
  input.should("R10.duplicate-input", "an input given twice is refused", async (s) => {
    const inputs = sampleInputs(s.target);
    expectRefused(await s.infer(s.target, { inputs: [...inputs, inputs[0]] }), "an input given twice");
  }),
  response.must("R13.complete", "model_name, and outputs whose data fills their shape", completeResponse),
  response.must("R13.content-type", "the response is application/json", async (s) => {
    const reply = await s.infer(s.target, { inputs: sampleInputs(s.target) });
    const type = expectOk(reply, "infer").headers["content-type"] ?? "none";
    expect(/^application\/json/.test(type), `content-type is ${type}`);
  }),
  parameters.should("R14.unknown-parameters", "unknown parameters are tolerated", async (s) => {
    await inferOk(s, { parameters: { unknown_text: "a", unknown_number: 1.5, unknown_bool: true } });
  }),
  parameters.should("R14.parameter-types", "a parameter that is an object is refused", async (s) => {
    const body = { inputs: sampleInputs(s.target), parameters: { nested: { a: 1 } } };
    expectRefused(await s.infer(s.target, body), "a parameter that is an object");
  }),
];
