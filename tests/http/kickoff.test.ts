import { writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { type LlmServer, script, serveLlms } from "../support/scripted-llm.ts";
import type { TestServer } from "../support/server.ts";

/** What an application is: it tells what it takes, and does what the input `script` says. */
const APPLICATION = `
import { CapstanError, defineAdapter } from "capstan";
import { z } from "zod";

const step = (detail) => ({ type: "step", choice: 0, name: "crew_step", detail });
const scripts = {
  async *report({ topic }) {
    yield step({ task: "find", agent: "finder", kind: "task_started" });
    yield step({ task: "find", agent: "finder", kind: "task_finished", output: "found" });
    yield { type: "text", choice: 0, text: JSON.stringify({ topic }) };
  },
  async *says() { yield { type: "text", choice: 0, text: "{ well" }; },
  async *refuse() { throw new CapstanError("RATE_LIMITED", "Come back later"); },
  async *burst() { throw new Error("a secret of the model's code"); },
  async *waits(_, { signal }) {
    yield step({ task: "find", agent: "finder", kind: "task_started" });
    yield { type: "step", choice: 0, name: "thought" };
    await new Promise((_, reject) => signal.addEventListener("abort", () => {
      globalThis.capstanScript.aborted += 1;
      reject(signal.reason);
    }));
  },
};

export default defineAdapter({
  name: "application",
  options: z.strictObject({}),
  async load() {
    return {
      inputs: [{ name: "script" }, { name: "topic", optional: true }],
      async *streamTokens({ messages }, call) {
        const inputs = JSON.parse(messages.at(-1).content);
        yield* scripts[inputs.script](inputs, call);
        yield { type: "finish", choice: 0, reason: "stop", usage: { inputTokens: 3, outputTokens: 2 } };
      },
      async [Symbol.asyncDispose]() {},
    };
  },
});`;

let served: LlmServer;
let server: TestServer;
beforeAll(async () => {
  served = await serveLlms();
  server = served.server;
  await addApplication("report");
});
afterAll(() => served[Symbol.asyncDispose]());

async function addApplication(name: string): Promise<void> {
  const parameters = { version: "1", extra: { framework: "./application.ts" } };
  await served.repository.write(name, { name, implementation: "llm", parameters });
  await writeFile(served.repository.path(name, "application.ts"), APPLICATION);
  expect((await server.post(`/v2/repository/models/${name}/load`)).status).toBe(200);
}

type Status = Readonly<Record<string, unknown>>;

async function kickoff(inputs: object, model = "report"): Promise<string> {
  const { status, body } = await server.post(`/v2/models/${model}/kickoff`, {
    inputs,
    meta: { from: "a test" },
  });
  expect(status, JSON.stringify(body)).toBe(200);
  return (body as { kickoff_id: string }).kickoff_id;
}

const statusOf = async (id: string) => (await server.get(`/v2/models/report/status/${id}`)).body as Status;
const settled = (id: string) =>
  eventually(async () => {
    const found = await statusOf(id);
    return found.status !== "running" && found;
  });

describe("an application that is kicked off", () => {
  it("tells what it takes", async () => {
    expect(await server.get("/v2/models/report/inputs")).toEqual({
      status: 200,
      body: { inputs: ["script", "topic"] },
    });
    expect((await server.get("/inputs")).body).toEqual({ inputs: ["script", "topic"] });
  });

  it("gives its result with what its tasks gave", async () => {
    const id = await kickoff({ script: "report", topic: "dogs" });
    expect(await settled(id)).toEqual({
      kickoff_id: id,
      state: "SUCCESS",
      status: "completed",
      progress: { completed_tasks: 1 },
      last_step: { name: "crew_step", task: "find", agent: "finder", kind: "task_finished", output: "found" },
      last_executed_task: { task_id: "find", agent: "finder", output: "found" },
      result: '{"topic":"dogs"}',
      result_json: { topic: "dogs" },
      tasks: [{ task_id: "find", agent: "finder", output: "found" }],
      usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
      execution_time: expect.any(Number),
    });
  });

  it("has the short routes while it is the only one", async () => {
    const { body } = await server.post("/kickoff", { inputs: { script: "says" } });
    const { kickoff_id: id } = body as { kickoff_id: string };
    expect(await settled(id)).toMatchObject({
      state: "SUCCESS",
      result: "{ well",
      result_json: null,
      tasks: [],
    });
    expect((await server.get(`/status/${id}`)).body).toMatchObject({ kickoff_id: id, last_step: null });
  });

  it("tells why it failed, and no secrets", async () => {
    const refused = await settled(await kickoff({ script: "refuse" }));
    expect(refused).toMatchObject({
      state: "FAILED",
      status: "error",
      error: "Come back later",
      result: null,
    });
    const burst = await kickoff({ script: "burst" });
    expect((await settled(burst)).error).toBe(
      `Internal error; the server's log has it under request id ${burst}`,
    );
  });

  it("tells what it is at, and is cancelled by its id", async () => {
    const id = await kickoff({ script: "waits" });
    const running = await eventually(async () => {
      const found = await statusOf(id);
      return (found.last_step as Status | null)?.name === "thought" && found;
    });
    expect(running).toMatchObject({ state: "RUNNING", status: "running", result: null });
    expect((await server.post(`/v2/cancel/${id}`)).body).toEqual({ cancelled: true });
    expect(await settled(id)).toMatchObject({ state: "FAILED", error: "The caller cancelled the request" });
  });

  it("may be any language model, which gets the inputs as JSON", async () => {
    const id = await kickoff({ topic: "dogs" }, "echo");
    await eventually(async () => ((await server.get(`/status/${id}`)).body as Status).status === "completed");
    expect((await server.get(`/status/${id}`)).body).toMatchObject({ result: 'Echo: {"topic":"dogs"}' });
  });
});

describe("a faulty request", () => {
  it.each([
    [
      "/v2/models/report/kickoff",
      { inputs: { topic: "x" } },
      400,
      "needs the input 'script', which is missing",
    ],
    ["/v2/models/report/kickoff", { inputs: { script: null } }, 400, "'script'"],
    ["/v2/models/report/kickoff", {}, 400, "'script'"],
    ["/v2/models/report/kickoff", { inputs: ["x"] }, 400, "'inputs' must be an object"],
    ["/v2/models/report/kickoff", "[]", 400, "The body must be a JSON object"],
    [
      "/v2/models/report/kickoff",
      { inputs: {}, crewWebhookUrl: "http://x" },
      400,
      "'crewWebhookUrl' is not supported",
    ],
    ["/v2/models/nobody/kickoff", { inputs: {} }, 404, "nobody"],
  ])("is refused: %s %j", async (path, body, status, message) => {
    const answer = await server.post(path, body);
    expect(answer.status).toBe(status);
    expect((answer.body as { error: string }).error).toContain(message);
  });

  it("for the inputs of what is no application is refused", async () => {
    expect((await server.get("/v2/models/echo/inputs")).status).toBe(501);
    expect((await server.get("/v2/models/nobody/inputs")).status).toBe(404);
  });

  it("for what nobody started, or another model did, finds nothing", async () => {
    const id = await kickoff({ script: "says" });
    expect((await server.get("/status/none")).status).toBe(404);
    expect((await server.get(`/v2/models/echo/status/${id}`)).status).toBe(404);
  });

  it("without a name is refused where there is none or several", async () => {
    await addApplication("second");
    const several = await server.get("/inputs");
    expect(several).toMatchObject({
      status: 400,
      body: { error: expect.stringContaining("there are report, second") },
    });
    await server.post("/v2/repository/models/second/unload");
    await server.post("/v2/repository/models/report/unload");
    expect((await server.get("/inputs")).body).toMatchObject({
      error: expect.stringContaining("no application"),
    });
    await addApplication("report");
  });
});

describe("the server", () => {
  it("has at most so many under way, and stops them when it stops", async () => {
    const before = script.aborted;
    await Promise.all(Array.from({ length: 64 }, () => kickoff({ script: "waits" })));
    const refused = await server.post("/kickoff", { inputs: { script: "waits" } });
    expect(refused.status).toBe(429);
    await eventually(async () => server.running.plane.statistics("report").length > 0);
    await server.running.close();
    expect(script.aborted - before).toBe(64);
  });
});
