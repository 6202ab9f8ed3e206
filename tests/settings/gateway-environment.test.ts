import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { startServer } from "../../src/cli/server.ts";
import { gatewayModel } from "../../src/settings/gateway-environment.ts";
import { loadServerSettings } from "../../src/settings/load-server.ts";
import { createLog } from "../../src/telemetry/log.ts";
import { OpenaiUpstream } from "../support/openai-upstream.ts";

const cwd = mkdtempSync(join(tmpdir(), "capstan-gateway-"));
writeFileSync(join(cwd, "tiny.gguf"), "");
writeFileSync(join(cwd, "onnx-folder"), "");

/** What an OpenAI-compatible server answers to GET /models, by the folder that is asked. */
const MODELS: Readonly<Record<string, [status: number, body: unknown]>> = {
  "/v1/models": [200, { object: "list", data: [{ id: "org/small" }, { id: "org/other" }] }],
  "/none/models": [200, { object: "list", data: [] }],
};

const startWithModels = () =>
  OpenaiUpstream.start((response, { url }) => {
    const [status, body] = MODELS[url] ?? [404, {}];
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  });

describe("the model of a gateway's variables", () => {
  it("is an upstream", () => {
    const env = { VLLM_URL: "http://127.0.0.1:1/v1", MODEL_NAME: "org/small", TIMEOUT_MS: "500" };
    expect(gatewayModel({ ...env, TEMPERATURE: "0.2", MAX_LENGTH: "64" }, cwd)).toEqual({
      name: "small",
      implementation: "llm",
      parameters: {
        extra: {
          framework: "openai",
          base_url: "http://127.0.0.1:1/v1",
          model: "org/small",
          upstream_timeout: "500ms",
          sampling: { temperature: 0.2, max_tokens: 64 },
        },
      },
    });
  });

  it("is named by DEFAULT_MODEL where MODEL_NAME is not given", () => {
    const env = { VLLM_URL: "http://127.0.0.1:1", DEFAULT_MODEL: "org/small" };
    expect(gatewayModel(env, cwd)).toMatchObject({
      name: "small",
      parameters: { extra: { model: "org/small" } },
    });
  });

  it("is a file, or a folder", () => {
    const gguf = { name: "tiny", parameters: { extra: { framework: "llama-cpp", device: "metal" } } };
    expect(gatewayModel({ LLAMA_MODEL_PATH: "tiny.gguf", DEVICE: "MPS" }, cwd)).toMatchObject(gguf);
    expect(gatewayModel({ MODEL_NAME: "./tiny.gguf" }, cwd)).toMatchObject({ name: "tiny" });
    expect(gatewayModel({ MODEL_NAME: "onnx-folder" }, cwd)).toMatchObject({
      parameters: { uri: join(cwd, "onnx-folder"), extra: { framework: "transformers" } },
    });
  });

  it("is none without one of its variables", () => {
    expect(gatewayModel({ MODEL_NAME: "iris", TEMPERATURE: "hot" }, cwd)).toBeUndefined();
  });

  it.each([
    [{ VLLM_URL: "http://127.0.0.1:1" }, /VLLM_URL.*needs MODEL_NAME or DEFAULT_MODEL/],
    [{ VLLM_URL: "gpu:8000", MODEL_NAME: "m" }, /VLLM_URL.*'gpu:8000'.*http:\/\/gpu:8000/],
    [{ VLLM_URL: "http://h", MODEL_NAME: "m", TIMEOUT_MS: "soon" }, /TIMEOUT_MS.*whole number.*'soon'/],
    [{ VLLM_URL: "http://h", MODEL_NAME: "m", MAX_LENGTH: "-1" }, /MAX_LENGTH.*whole number.*'-1'/],
    [{ LLAMA_MODEL_PATH: "tiny.gguf", DEVICE: "tpu" }, /DEVICE.*cpu, cuda, metal.*'tpu'/],
    [{ MODEL_NAME: "onnx-folder", DEVICE: "vulkan" }, /DEVICE.*cpu, cuda or auto.*'vulkan'/],
    [{ LLAMA_MODEL_PATH: "gone.gguf" }, /LLAMA_MODEL_PATH.*there is no .*gone.gguf; nothing is downloaded/],
    [{ MODEL_NAME: "./gone" }, /MODEL_NAME.*there is no/],
    [{ LLAMA_MODEL_PATH: "tiny.gguf", TEMPERATURE: "hot" }, /TEMPERATURE.*must be a number, and is 'hot'/],
  ])("says what is wrong in %j", (env, message) => {
    expect(() => gatewayModel(env as Record<string, string>, cwd)).toThrow(message);
  });

  it("is only taken when no folder is given", async () => {
    const env = { VLLM_URL: "http://127.0.0.1:1", MODEL_NAME: "small" };
    const given = await loadServerSettings({ cwd, env, flags: { model_repository_root: cwd } });
    expect(given.model).toBeUndefined();
    expect(given.settings.default_model).toBe("small");
  });

  it("is the first one that the address has, where nothing names it", async () => {
    await using upstream = await startWithModels();
    const { model } = await loadServerSettings({
      cwd,
      env: { VLLM_URL: `${upstream.origin}/v1/` },
      flags: {},
    });
    expect(model).toMatchObject({ name: "small", parameters: { extra: { model: "org/small" } } });
  });

  it.each([
    ["closed", /VLLM_URL.*does not tell which models it has \(.*ECONNREFUSED.*MODEL_NAME or DEFAULT_MODEL/],
    ["gone", /VLLM_URL.*\/gone\/models answered 404/],
    ["none", /VLLM_URL.*answered no list of models/],
  ])("is told to be named where the address does not tell: %s", async (at, message) => {
    await using upstream = await startWithModels();
    const env = { VLLM_URL: `${upstream.origin}/${at}` };
    if (at === "closed") await upstream[Symbol.asyncDispose]();
    await expect(loadServerSettings({ cwd, env, flags: {} })).rejects.toThrow(message);
  });

  it("is served by itself, under the name its clients know", async () => {
    await using upstream = await OpenaiUpstream.start();
    const env = { VLLM_URL: upstream.origin, MODEL_NAME: "org/small" };
    const flags = { http_port: 0, grpc_port: 0, metrics_port: 0 };
    const { settings, model } = await loadServerSettings({ cwd, env, flags });
    const log = await createLog({ level: "silent", pretty: false });
    const server = await startServer(settings, env, log, model);
    try {
      const body = { model: "org/small", messages: [{ role: "user", content: "Hi" }] };
      const answer = await fetch(`http://127.0.0.1:${server.http.port}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      });
      expect(await answer.json()).toMatchObject({
        choices: [{ message: { content: "hello there friend" } }],
      });
      expect(upstream.requests[0]!.body.model).toBe("org/small");
    } finally {
      await server.close();
    }
  });
});
