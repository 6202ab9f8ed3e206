import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cp } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { GRPCInferenceService } from "../../src/grpc/generated/services.ts";
import { codeName, TestClient } from "../support/grpc.ts";
import { IRIS_ROW, SAMPLES, TestRepository } from "../support/server.ts";
import { ROOT } from "../support/source-files.ts";
import { manifest, uselessVariables } from "./manifests.ts";

interface ServingRuntime {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly supportedModelFormats: readonly { readonly name: string; readonly version: string }[];
    readonly protocolVersions: readonly string[];
    readonly containers: readonly {
      readonly name: string;
      readonly args: readonly string[];
      readonly env: readonly { readonly name: string; readonly value: string }[];
      readonly readinessProbe: { readonly httpGet: { readonly path: string; readonly port: number } };
      readonly livenessProbe: { readonly httpGet: { readonly path: string; readonly port: number } };
    }[];
  };
}

interface InferenceService {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  readonly spec: {
    readonly predictor: {
      readonly model: {
        readonly runtime: string;
        readonly modelFormat: { readonly name: string; readonly version: string };
        readonly protocolVersion: string;
        readonly storageUri: string;
      };
    };
  };
}

const MAIN = path.join(ROOT, "src", "cli", "main.ts");
/** Where KServe's storage initializer puts the model: constants of its controller. */
const MOUNT = "/mnt/models";

let runtime: ServingRuntime;
let service: InferenceService;
beforeAll(async () => {
  runtime = await manifest("kserve/serving-runtime.yaml");
  service = await manifest("kserve/inference-service.yaml");
});

/** The variables of the container, as KServe fills its templates in. */
function variables({ name, labels }: InferenceService["metadata"]): Record<string, string> {
  const filled = (value: string) =>
    value
      .replace(/\{\{\s*\.Name\s*\}\}/g, name)
      .replace(/\{\{\s*\.Labels\.(\w+)\s*\}\}/g, (_, label: string) => labels[label] ?? "");
  return Object.fromEntries(runtime.spec.containers[0]!.env.map((each) => [each.name, filled(each.value)]));
}

describe("the KServe manifests", () => {
  it("are a ServingRuntime of the V2 protocol, with KServe's container", () => {
    expect([runtime.apiVersion, runtime.kind]).toEqual(["serving.kserve.io/v1alpha1", "ServingRuntime"]);
    expect(runtime.spec.protocolVersions).toEqual(["v2"]);
    expect(runtime.spec.containers.map(({ name }) => name)).toEqual(["kserve-container"]);
    const [{ args, readinessProbe, livenessProbe }] = runtime.spec.containers as [
      ServingRuntime["spec"]["containers"][0],
    ];
    expect(args).toEqual(["start", MOUNT]);
    const { MLSERVER_HTTP_PORT } = variables(service.metadata);
    expect([readinessProbe, livenessProbe].map(({ httpGet }) => httpGet)).toEqual([
      { path: "/v2/health/ready", port: Number(MLSERVER_HTTP_PORT) },
      { path: "/v2/health/live", port: Number(MLSERVER_HTTP_PORT) },
    ]);
  });

  it("set MLServer's variables, all of which mean something here", () => {
    const env = variables(service.metadata);
    expect(env).toEqual({
      MLSERVER_MODEL_NAME: "iris",
      MLSERVER_MODEL_URI: MOUNT,
      MLSERVER_MODEL_IMPLEMENTATION: "onnx",
      MLSERVER_HTTP_PORT: "8080",
      MLSERVER_GRPC_PORT: "9000",
    });
    expect(uselessVariables(env)).toEqual([]);
  });

  it("are an InferenceService of a format that the runtime takes", () => {
    expect([service.apiVersion, service.kind]).toEqual(["serving.kserve.io/v1beta1", "InferenceService"]);
    const { model } = service.spec.predictor;
    expect(model.runtime).toBe(runtime.metadata.name);
    expect(runtime.spec.protocolVersions).toContain(model.protocolVersion);
    expect(runtime.spec.supportedModelFormats).toContainEqual(expect.objectContaining(model.modelFormat));
    expect(model.storageUri).toMatch(/^(pvc|s3|gs|https?|hf):\/\//);
  });
});

describe("a server started as KServe starts it", () => {
  let child: ChildProcess | undefined;
  afterEach(async () => {
    if (child?.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  });

  /** With the runtime's variables, a folder of the test's for /mnt/models, and free ports. */
  async function start(
    folder: string,
    env: Record<string, string>,
    given = runtime.spec.containers[0]!.args,
  ) {
    const inFolder = Object.entries(env).map(([name, value]) => [name, value === MOUNT ? folder : value]);
    const ports = { MLSERVER_HTTP_PORT: "0", MLSERVER_GRPC_PORT: "0", MLSERVER_METRICS_PORT: "0" };
    const args = given.map((arg) => (arg === MOUNT ? folder : arg));
    child = spawn(process.execPath, [MAIN, ...args], {
      cwd: folder,
      env: { ...Object.fromEntries(inFolder), ...ports },
      stdio: ["ignore", "pipe", "inherit"],
    });
    for await (const line of createInterface({ input: child.stdout! })) {
      const said = JSON.parse(line) as { msg: string; http: string; grpc: string };
      if (said.msg === "ready") return said;
    }
    throw new Error("it ended before it was ready");
  }

  const infer = (address: string) =>
    fetch(`http://${address}/v2/models/iris/infer`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(IRIS_ROW),
    });

  it("serves a folder with nothing but the model's file, over HTTP and gRPC", async () => {
    await using repository = await TestRepository.create();
    await cp(path.join(SAMPLES, "iris", "model.onnx"), repository.path("model.onnx"));
    const { http, grpc } = await start(repository.root, variables(service.metadata));
    const { readinessProbe } = runtime.spec.containers[0]!;
    expect((await fetch(`http://${http}${readinessProbe.httpGet.path}`)).status).toBe(200);
    const answer = await infer(http);
    expect([answer.status, await answer.json()]).toEqual([
      200,
      expect.objectContaining({ model_name: "iris" }),
    ]);
    const client = new TestClient(grpc);
    const ready = await client.unary(GRPCInferenceService.ModelReady as never, { name: "iris" } as never);
    client.close();
    expect(codeName(ready.code)).toBe("OK");
    child!.kill("SIGTERM");
    const [code] = await once(child!, "exit");
    expect(code).toBe(0);
  });

  it("serves a folder with a model-settings.json, under the service's name, without a label", async () => {
    await using repository = await TestRepository.create();
    await repository.addSample("iris", ".");
    const { http } = await start(repository.root, variables({ name: "iris", labels: {} }));
    expect((await infer(http)).status).toBe(200);
  });

  it("serves in place of MLServer's image: by the variables alone, scikit-learn's model from its ONNX twin", async () => {
    await using repository = await TestRepository.create();
    await cp(path.join(SAMPLES, "iris", "model.onnx"), repository.path("model.onnx"));
    const image = { CAPSTAN_MODEL_REPOSITORY_ROOT: MOUNT };
    const labels = { modelClass: "mlserver_sklearn.SKLearnModel" };
    const { http } = await start(repository.root, { ...image, ...variables({ name: "iris", labels }) }, [
      "start",
    ]);
    expect((await infer(http)).status).toBe(200);
  });
});
