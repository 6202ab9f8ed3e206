import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { glob, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { DEPLOY, manifest } from "../../deploy/manifests.ts";
import { pythonWith } from "../python-venv.ts";

const run = promisify(execFile);
const HERE = import.meta.dirname;
const KSERVE = "0.21.0";
/** The oldest version with `preStop.sleep` on by default, and the newest there is a schema of. */
const VERSIONS = ["1.30", "1.37"];

const MANIFESTS = readdirSync(path.join(DEPLOY, "kubernetes")).filter(
  (name) => name !== "kustomization.yaml",
);

let python: string;
let folder: string;
beforeAll(async () => {
  python = await pythonWith("kubernetes-validate-1.37.0", path.join(HERE, "requirements.txt"));
  folder = await mkdtemp(path.join(tmpdir(), "manifests-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** What is wrong with a file by Kubernetes' own schemas; unknown fields are. */
function faults(file: string, version: string): Promise<string> {
  const args = ["-m", "kubernetes_validate", "--strict", "--quiet", "-k", version, file];
  return run(python, args).then(
    () => "",
    ({ stdout, stderr }: { stdout: string; stderr: string }) => stdout + stderr,
  );
}

async function written(name: string, text: string): Promise<string> {
  const file = path.join(folder, name);
  await writeFile(file, text);
  return file;
}

describe("the manifests, by Kubernetes' schemas", () => {
  it.each(VERSIONS.flatMap((version) => MANIFESTS.map((name) => [name, version] as const)))(
    "%s is good for Kubernetes %s",
    async (name, version) => {
      expect(await faults(path.join(DEPLOY, "kubernetes", name), version)).toBe("");
    },
  );

  it("finds a field that is misspelt", async () => {
    const text = await readFile(path.join(DEPLOY, "kubernetes", "deployment.yaml"), "utf8");
    const file = await written("misspelt.yaml", text.replace("readinessProbe:", "readynessProbe:"));
    expect(await faults(file, "1.37")).toContain("readynessProbe");
  });

  it("takes KServe's container as one of a pod", async () => {
    const { spec } = await manifest<{ spec: { containers: object[] } }>("kserve/serving-runtime.yaml");
    const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "kserve" }, spec };
    const { containers } = pod.spec;
    const file = await written("pod.yaml", stringify({ ...pod, spec: { containers } }));
    expect(await faults(file, "1.37")).toBe("");
  });
});

describe("the manifests, by KServe's API", () => {
  let wheel: string;
  beforeAll(async () => {
    const args = ["download", "-q", "--no-deps", "--dest", folder, `kserve==${KSERVE}`];
    await run(python, ["-m", "pip", ...args]);
    for await (const name of glob("kserve-*.whl", { cwd: folder })) wheel = path.join(folder, name);
  });

  /** Paths of fields that KServe does not have. */
  const unknown = async (kind: string, file: string) =>
    (await run(python, [path.join(HERE, "kserve_fields.py"), wheel, kind, file])).stdout;

  it.each([
    ["V1alpha1ServingRuntime", "kserve/serving-runtime.yaml"],
    ["V1beta1InferenceService", "kserve/inference-service.yaml"],
  ])("has only fields of %s in %s", async (kind, name) => {
    expect(await unknown(kind, path.join(DEPLOY, name))).toBe("");
  });

  it("finds a field that is misspelt", async () => {
    const text = await readFile(path.join(DEPLOY, "kserve", "inference-service.yaml"), "utf8");
    const file = await written("service.yaml", text.replace("storageUri:", "storageURI:"));
    expect(await unknown("V1beta1InferenceService", file)).toBe(".spec.predictor.model.storageURI");
  });
});
