import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { resolveImplementation } from "../../src/settings/mlserver-implementations.ts";
import { modelSettingsSchema } from "../../src/settings/model.ts";
import { Files } from "../support/files.ts";

let files: Files;
beforeEach(async () => {
  files = await Files.create();
});
afterEach(() => files[Symbol.asyncDispose]());

const resolve = (implementation: string, uri?: string, extra: object = {}) =>
  resolveImplementation(
    modelSettingsSchema.parse({ name: "m", implementation, parameters: { uri, extra } }),
    files.root,
  );

describe("implementation strings", () => {
  it.each(["onnx", "llm", "my-runtime", "@scope/runtime", "socket.io"])("leaves %s as it is", (name) => {
    expect(resolve(name).settings?.implementation).toBe(name);
  });

  it.each([
    ["mlserver_onnx.OnnxModel", "onnx", {}],
    ["mlserver_mlflow.MLflowRuntime", "mlflow", {}],
    ["mlserver_huggingface.HuggingFaceRuntime", "llm", { framework: "transformers" }],
  ])("reads %s as %s", (name, implementation, added) => {
    const { settings } = resolve(name, "./x", { kept: 1 });
    expect(settings).toMatchObject({ implementation, parameters: { uri: "./x" } });
    expect(settings?.parameters.extra).toEqual({ kept: 1, ...added });
  });

  it.each(["./scorer.ts", "../shared/scorer.mjs", "/abs/scorer.js"])("reads %s as a module", (module) => {
    const { settings } = resolve(module);
    expect(settings).toMatchObject({
      implementation: "module",
      parameters: { extra: { module, export: "default" } },
    });
  });

  it.each([".ts", ".js", ".mjs"])("finds a class in a %s file beside the settings", async (extension) => {
    await files.write(`pack/my_module${extension}`, "");
    expect(resolve("pack.my_module.MyModel").settings).toMatchObject({
      implementation: "module",
      parameters: { extra: { module: `./pack/my_module${extension}`, export: "MyModel" } },
    });
  });

  it("says what to do about a Python class", () => {
    const { settings, finding } = resolve("my_module.MyModel");
    expect(settings).toBeUndefined();
    expect(finding).toMatchObject({ path: ["implementation"], severity: "error" });
    expect(finding?.message).toMatch(/export MyModel of my_module.ts .*"remote"/);
  });
});

describe("models of Python libraries", () => {
  it("are served by model.onnx beside their artifact, or inside it", async () => {
    const twin = await files.write("model.onnx", "");
    const inside = await files.write("saved/model.onnx", "");
    const uriOf = (uri?: string) => resolve("mlserver_sklearn.SKLearnModel", uri).settings?.parameters.uri;
    expect(uriOf("./model.joblib")).toBe(twin);
    expect(uriOf()).toBe(twin);
    expect(uriOf(`file://${files.path("model.joblib")}`)).toBe(twin);
    expect(uriOf("./saved")).toBe(inside);
    expect(uriOf("./other.onnx")).toBe("./other.onnx");
    expect(uriOf("s3://bucket/model.onnx")).toBe("s3://bucket/model.onnx");
    expect(resolve("mlserver_xgboost.XGBoostModel", "./m.json").settings?.implementation).toBe("onnx");
  });

  it("do not take the twin of the folder above", async () => {
    await files.write("model.onnx", "");
    await files.write("1/model.joblib", "");
    expect(resolve("mlserver_sklearn.SKLearnModel", "./1").settings).toBeUndefined();
  });

  it.each([
    ["mlserver_sklearn.SKLearnModel", "skl2onnx.to_onnx"],
    ["mlserver_xgboost.XGBoostModel", "convert_xgboost"],
    ["mlserver_lightgbm.LightGBMModel", "convert_lightgbm"],
    ["mlserver_catboost.CatboostModel", "format='onnx'"],
    ["mlserver_mllib.MLlibModel", "convert_sparkml"],
  ])("are told how to export without one: %s", (name, call) => {
    const message = resolve(name, "s3://bucket/model.bin").finding?.message;
    expect(message).toContain(call);
    expect(message).toContain("remote");
  });

  it("have no guess made about them", () => {
    expect(resolve("mlserver_alibi_explain.AlibiExplainRuntime").finding?.message).toMatch(/"remote"/);
  });
});
