import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { IRIS_ROW, SAMPLES, serve, type TestServer } from "../support/server.ts";

let server: TestServer;
beforeAll(async () => {
  server = await serve(SAMPLES);
});
afterAll(() => server[Symbol.asyncDispose]());

describe("health and metadata", () => {
  it("tells what the server is and can", async () => {
    for (const path of ["/v2", "/v2/"]) {
      const { status, body } = await server.get(path);
      expect(status).toBe(200);
      expect(body).toMatchObject({ name: "capstan", version: expect.stringMatching(/^\d+\.\d+\.\d+$/) });
      expect((body as { extensions: string[] }).extensions).toContain("binary_tensor_data");
    }
  });

  it.each([
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/iris",
    "/v2/models/iris/versions/1/ready",
  ])("answers HEAD %s without a body", async (path) => {
    const response = await server.request(path, { method: "HEAD" });
    expect(response.status).toBe(200);
    expect(await response.text()).toBe("");
  });

  it("reads a model's signature from its file", async () => {
    const { body } = await server.get("/v2/models/iris");
    expect(body).toEqual({
      name: "iris",
      versions: ["1"],
      platform: "onnxruntime_onnx",
      inputs: [{ name: "X", datatype: "FP32", shape: [-1, 4] }],
      outputs: [
        { name: "label", datatype: "INT64", shape: [-1] },
        { name: "probabilities", datatype: "FP32", shape: [-1, 3] },
      ],
    });
  });

  it("shows the settings in force", async () => {
    const { body } = await server.get("/v2/models/iris/config");
    expect(body).toMatchObject({ name: "iris", implementation: "onnx", max_batch_size: expect.any(Number) });
  });
});

describe("inference", () => {
  it("echoes the id, and answers the outputs asked for in their order", async () => {
    const { body } = await server.post("/v2/models/iris/versions/1/infer", {
      ...IRIS_ROW,
      id: "mine",
      outputs: [{ name: "probabilities" }, { name: "label" }],
    });
    expect(body).toMatchObject({ id: "mine", model_name: "iris", model_version: "1" });
    expect((body as { outputs: { name: string }[] }).outputs.map(({ name }) => name)).toEqual([
      "probabilities",
      "label",
    ]);
  });

  it("gives every answer a request id, the caller's own where it has one", async () => {
    const named = await server.request("/v2", { headers: { "x-request-id": "abc-1" } });
    expect(named.headers.get("x-request-id")).toBe("abc-1");
    const odd = await server.request("/v2/nothing", { headers: { "x-request-id": "a b <c>" } });
    expect(odd.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
  });

  it("counts what it did", async () => {
    type Stats = {
      model_stats: { inference_count: number; inference_stats: Record<string, { count: number }> }[];
    };
    const stats = async () => ((await server.get("/v2/models/digits/stats")).body as Stats).model_stats[0]!;
    const before = await stats();
    const row = { name: "X", shape: [3, 64], datatype: "FP32", data: new Array(192).fill(0) };
    await server.post("/v2/models/digits/infer", { inputs: [row] });
    await server.post("/v2/models/digits/infer", { inputs: [{ ...row, name: "Y" }] });
    const after = await stats();
    expect(after.inference_count - before.inference_count).toBe(3);
    expect(after.inference_stats.success!.count - before.inference_stats.success!.count).toBe(1);
    expect(after.inference_stats.fail!.count - before.inference_stats.fail!.count).toBe(1);
    const all = (await server.get("/v2/models/stats")).body as Stats;
    const names = (all.model_stats as unknown as { name: string }[]).map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(["churn", "digits", "iris"]));
  });
});

describe("metrics", () => {
  it("have MLServer's names, on both ports, and no series for what callers make up", async () => {
    await server.post("/v2/models/iris/infer", IRIS_ROW);
    await server.post("/v2/models/made-up/infer", IRIS_ROW);
    const own = await (await fetch(`http://127.0.0.1:${server.running.metrics!.port}/metrics`)).text();
    const shared = await (await server.request("/metrics")).text();
    for (const text of [own, shared]) {
      expect(text).toMatch(/model_infer_request_success_total\{model="iris",version="1"\} [1-9]/);
      expect(text).toMatch(/model_infer_request_duration_count\{model="iris",version="1"\}/);
      expect(text).toMatch(
        /rest_server_requests_total\{method="POST",path="\/v2\/models\/:model\/infer",status_code="200"\}/,
      );
      expect(text).toMatch(/capstan_model_state\{model="iris",version="1",state="READY"\} 1/);
      expect(text).not.toContain("made-up");
    }
  });
});

describe("routes that change what is served", () => {
  const unload = (headers: Record<string, string>) =>
    server.request("/v2/repository/models/ghost/unload", { method: "POST", headers });

  it("are open to a local program", async () => {
    expect((await unload({})).status).toBe(404);
  });

  it.each([
    ["x-forwarded-for", "10.0.0.9"],
    ["forwarded", "for=10.0.0.9"],
    ["origin", "http://evil.example"],
  ])("are closed to a caller with the header %s", async (name, value) => {
    const response = await unload({ [name]: value });
    expect(response.status).toBe(403);
    expect(((await response.json()) as { error: string }).error).toMatch(/local programs only/);
  });
});
