import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { modelFromEnvironment, readModelSettings } from "../../src/settings/load-model.ts";
import { modelSettingsSchema } from "../../src/settings/model.ts";
import { formatProblem } from "../../src/settings/problems.ts";
import { Files } from "../support/files.ts";

let files: Files;
beforeEach(async () => {
  files = await Files.create();
});
afterEach(() => files[Symbol.asyncDispose]());

async function read(content: string | object, env: Record<string, string> = {}) {
  return readModelSettings(await files.write("iris/model-settings.json", content), env);
}

async function linesOf(content: string | object, env: Record<string, string> = {}): Promise<string[]> {
  return (await read(content, env)).problems.map((problem) => formatProblem(problem, files.path("iris")));
}

describe("model-settings.json", () => {
  it("needs an implementation only", async () => {
    const { settings, problems } = await read({ implementation: "onnx" });
    expect(problems).toEqual([]);
    expect(settings).toEqual({
      name: "iris",
      implementation: "onnx",
      max_batch_size: 0,
      max_batch_time: 0,
      parameters: { extra: {} },
    });
    expect(await linesOf({})).toEqual([
      "model-settings.json:1:1 implementation: expected string, received undefined",
    ]);
  });

  it("keeps all of MLServer's fields", async () => {
    const written = {
      name: "iris",
      implementation: "onnx",
      platform: "sklearn",
      versions: ["scikit-learn/1.5.0"],
      inputs: [{ name: "x", datatype: "FP32", shape: [-1, 4], parameters: { content_type: "np" } }],
      outputs: [{ name: "y", datatype: "INT64", shape: [-1], tags: { a: 1 } }],
      max_batch_size: 8,
      max_batch_time: 0.1,
      cache_enabled: false,
      parameters: { uri: "./m.onnx", version: "v1", format: "onnx", content_type: "pd", extra: { a: [1] } },
    };
    const { settings, problems, raw } = await read(written);
    expect(problems).toEqual([]);
    expect(settings).toEqual(written);
    expect(raw).toEqual(written);
  });

  it("gives the same again when its output is read", () => {
    const first = modelSettingsSchema.parse({
      implementation: "llm",
      framework: "echo",
      inputs: [],
      parameters: { version: 3, extra: { source: { poll: "5s", region: "x" }, reload: "recreate" } },
    });
    expect(first.parameters).toMatchObject({
      version: "3",
      extra: { framework: "echo", reload: "recreate" },
    });
    expect(first.inputs).toBeUndefined();
    expect(modelSettingsSchema.parse(first)).toEqual(first);
  });

  it("takes framework at the top, and refuses two that differ", async () => {
    const both = { implementation: "llm", framework: "echo", parameters: { extra: { framework: "openai" } } };
    expect(await linesOf(both)).toEqual([
      'model-settings.json:1:25 framework: is "echo" here and "openai" in parameters.extra; keep one',
    ]);
  });

  it("warns of unknown keys, and leaves the options of plugins alone", async () => {
    const text = `{
      "implementation": "onnx",
      "implementaton": "x",
      "parameters": { "urii": "x", "extra": { "anything": { "goes": true } } },
      "inputs": [{ "name": "a", "datatype": "FP32", "shape": [1], "dtype": "x" }]
    }`;
    expect((await read(text)).settings).toMatchObject({
      parameters: { extra: { anything: { goes: true } } },
    });
    expect(await linesOf(text)).toEqual([
      'model-settings.json:3:7 implementaton: unknown key; did you mean "implementation"?',
      'model-settings.json:4:23 parameters.urii: unknown key; did you mean "uri"?',
      "model-settings.json:5:67 inputs[0].dtype: unknown key",
    ]);
  });

  it.each([
    [{ implementation: "" }, "implementation"],
    [{ implementation: "onnx", max_batch_size: -1 }, "max_batch_size"],
    [{ implementation: "onnx", max_batch_time: "soon" }, "max_batch_time"],
    [
      { implementation: "onnx", inputs: [{ name: "x", datatype: "FLOAT", shape: [1] }] },
      "inputs[0].datatype",
    ],
    [
      { implementation: "onnx", inputs: [{ name: "x", datatype: "FP32", shape: [-2] }] },
      "inputs[0].shape[0]",
    ],
    [{ implementation: "onnx", parameters: [] }, "parameters"],
    [{ implementation: "onnx", parameters: { uri: 3 } }, "parameters.uri"],
    [{ implementation: "onnx", parameters: { extra: { reload: "never" } } }, "parameters.extra.reload"],
    [
      { implementation: "onnx", parameters: { extra: { source: { poll: 5 } } } },
      "parameters.extra.source.poll",
    ],
  ])("refuses %j", async (content, key) => {
    const { settings, problems } = await read(content);
    expect(settings).toBeUndefined();
    expect(problems).toMatchObject([{ key, severity: "error" }]);
  });

  it("warns of what has no effect here", async () => {
    const content = {
      implementation: "onnx",
      parameters: { environment_tarball: "e.tar.gz" },
    };
    const { settings, problems } = await read(content);
    expect(settings).toBeDefined();
    expect(problems.map(({ key, severity }) => [key, severity])).toEqual([
      ["parameters.environment_tarball", "warning"],
    ]);
  });

  it("takes variables, and keeps them out of what is shown", async () => {
    const written = { implementation: "onnx", parameters: { extra: { source: { token: "${TOKEN}" } } } };
    const { settings, raw } = await read(written, { TOKEN: "secret" });
    expect(settings?.parameters.extra.source).toEqual({ token: "secret" });
    expect(raw).toEqual(written);
    expect(await linesOf(written)).toEqual([
      expect.stringMatching(/^model-settings.json:1:\d+ parameters.extra.source.token: .* TOKEN is not set/),
    ]);
  });

  it("takes what it leaves out from MLSERVER_MODEL_* variables", async () => {
    const env = {
      MLSERVER_MODEL_NAME: "from-env",
      MLSERVER_MODEL_URI: "/mnt/models",
      MLSERVER_MODEL_IMPLEMENTATION: "other",
      MLSERVER_MODEL_MAX_BATCH_SIZE: "16",
      MLSERVER_MODEL_INPUTS: '[{"name":"x","datatype":"FP32","shape":[1]}]',
      MLSERVER_MODEL_PLATFORM: "",
    };
    const { settings } = await read({ name: "", implementation: "onnx", parameters: { version: "2" } }, env);
    expect(settings).toMatchObject({
      name: "from-env",
      implementation: "onnx",
      max_batch_size: 16,
      inputs: [{ name: "x" }],
      parameters: { uri: "/mnt/models", version: "2" },
    });
    expect(settings?.platform).toBeUndefined();
    const broken = await read({ implementation: "onnx" }, { MLSERVER_MODEL_INPUTS: "[{" });
    expect(broken.problems).toMatchObject([{ key: "inputs", severity: "error" }]);
  });
});

describe("a model of variables alone", () => {
  it("needs a name and an implementation", () => {
    const env = {
      MLSERVER_MODEL_NAME: "m",
      MLSERVER_MODEL_IMPLEMENTATION: "onnx",
      MLSERVER_MODEL_URI: "/mnt/models",
    };
    expect(modelFromEnvironment(env, "/repo")?.settings).toMatchObject({
      name: "m",
      implementation: "onnx",
      parameters: { uri: "/mnt/models" },
    });
    expect(modelFromEnvironment({ MLSERVER_MODEL_NAME: "m" }, "/repo")).toBeUndefined();
    expect(modelFromEnvironment({}, "/repo")).toBeUndefined();
  });
});
