/** R2 and R6: versions, and the model's signature. */
import { isDatatype } from "../../contracts/index.ts";
import { type Check, checksFrom } from "../define.ts";
import { array, expect, expectEqual, record, shown, string } from "../expect.ts";
import { expectOk } from "../http-client.ts";
import { sampleInputs } from "../samples.ts";
import { inferPath, modelPath, type Session } from "../session.ts";
import { practice, rest } from "../sources.ts";
import { NotApplicable } from "../types.ts";

const metadata = checksFrom(rest("Model Metadata Response JSON Object"), ["target"]);
const versions = checksFrom(rest("Model Metadata Response JSON Object"), ["target", "versions"]);
const policy = checksFrom(practice("the newest version answers"), ["target", "versions"]);
const inference = checksFrom(rest("Inference Response JSON Object"), ["target", "versions"]);

function checkTensor(value: unknown): void {
  const tensor = record(value, "a tensor of the metadata");
  const name = string(tensor.name, "a tensor's name");
  expect(isDatatype(tensor.datatype), `datatype of '${name}' is not one of V2: ${shown(tensor.datatype)}`);
  for (const size of array(tensor.shape, `shape of '${name}'`)) {
    expect(Number.isInteger(size) && Number(size) >= -1, `shape of '${name}': ${shown(tensor.shape)}`);
  }
}

async function wellFormed(session: Session): Promise<void> {
  const { name } = session.target;
  const body = record(expectOk(await session.http.get(modelPath(name)), "metadata").json(), "metadata");
  expectEqual(body.name, name, "name");
  string(body.platform, "platform");
  for (const version of array(body.versions ?? [], "versions")) string(version, "a version");
  for (const tensor of array(body.inputs, "inputs")) checkTensor(tensor);
  for (const tensor of array(body.outputs, "outputs")) checkTensor(tensor);
}

async function listedVersionsAnswer(session: Session): Promise<void> {
  const { name, versions: listed } = session.target;
  for (const version of listed) {
    expectOk(await session.http.get(modelPath(name, version)), `metadata of version ${version}`);
    const reply = await session.http.post(inferPath(name, version), { inputs: sampleInputs(session.target) });
    const body = record(expectOk(reply, `infer at version ${version}`).json(), "response");
    expectEqual(body.model_version, version, "model_version");
  }
}

async function chosen(session: Session): Promise<string> {
  const reply = await session.infer(session.target, { inputs: sampleInputs(session.target) });
  return string(
    record(expectOk(reply, "infer without a version").json(), "response").model_version,
    "model_version",
  );
}

function newest(names: readonly string[]): string | undefined {
  const numeric = names.every((name) => /^\d+$/.test(name));
  return names.toSorted((a, b) => (numeric ? Number(a) - Number(b) : a < b ? -1 : 1)).at(-1);
}

export const metadataChecks: readonly Check[] = [
  inference.must("R2.server-picks", "without a version, the one that answered is named", async (s) => {
    const version = await chosen(s);
    expect(s.target.versions.includes(version), `${version} is not in ${shown(s.target.versions)}`);
  }),
  policy.should("R2.newest", "without a version, the newest answers", async (s) => {
    if (s.target.versions.length < 2) throw new NotApplicable("the model has one version");
    expectEqual(await chosen(s), newest(s.target.versions), "model_version");
  }),
  metadata.must(
    "R6.well-formed",
    "metadata has name, platform, inputs, outputs with V2 datatypes",
    wellFormed,
  ),
  versions.must(
    "R6.versions-answer",
    "every version listed answers metadata and infer",
    listedVersionsAnswer,
  ),
];
