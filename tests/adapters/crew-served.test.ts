import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { dataOf, eventsOf } from "../support/scripted-llm.ts";
import { serve, TestRepository, type TestServer } from "../support/server.ts";

let repository: TestRepository;
let server: TestServer;
beforeAll(async () => {
  repository = await TestRepository.create();
  await repository.addSample("tiny-chat");
  await repository.addSample("research");
  const extra = {
    framework: "crewai",
    llm: "capstan:tiny-chat",
    isolation: "thread",
    sampling: { max_tokens: 8 },
  };
  const settings = { name: "apart", implementation: "llm", parameters: { uri: "./", extra } };
  await repository.addSample("research", "apart", settings);
  server = await serve(repository.root);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
});

describe("the sample crew", () => {
  it("answers as a chat model does, with its steps out of the text", async () => {
    const messages = [{ role: "user", content: "model servers" }];
    const { status, body } = await server.post("/v1/chat/completions", { model: "research", messages });
    expect(status, JSON.stringify(body)).toBe(200);
    const { choices, usage } = body as {
      choices: { message: { content: string } }[];
      usage: { prompt_tokens: number };
    };
    expect(choices[0]!.message.content.length).toBeGreaterThan(0);
    expect(usage.prompt_tokens).toBeGreaterThan(100);
  });

  it("tells its steps in the stream where they are asked for, and always in that of a browser", async () => {
    const asked = {
      model: "research",
      messages: [{ role: "user", content: "onnx" }],
      stream: true,
      stream_options: { include_steps: true },
    };
    const init = {
      method: "POST",
      body: JSON.stringify(asked),
      headers: { "content-type": "application/json" },
    };
    const chunks = dataOf(await (await server.request("/v1/chat/completions", init)).text()).slice(0, -1);
    const told = chunks.flatMap((chunk) => (chunk as { step?: object }).step ?? []);
    expect(told[0]).toMatchObject({ name: "crew_step", detail: { kind: "task_started" } });
    expect(told.at(-1)).toMatchObject({ name: "crew_step", detail: { kind: "task_finished" } });
    for (const chunk of chunks) expect(chunk).toMatchObject({ choices: [{ index: 0, delta: {} }] });
    const events = eventsOf(await (await server.request("/v2/models/research/stream?prompt=onnx")).text());
    const steps = events.filter(({ event }) => event === "step").map(({ data }) => JSON.parse(data));
    expect(steps.map(({ detail }) => detail.kind)).toEqual(
      told.map((each) => (each as { detail: { kind: string } }).detail.kind),
    );
    expect(events.at(-1)!.event).toBe("done");
  });

  it("takes inputs in the body of a chat request", async () => {
    const messages = [{ role: "user", content: "go" }];
    const asked = { model: "research", messages, inputs: { subject: "x" } };
    const { status, body } = await server.post("/v1/chat/completions", asked);
    expect(status).toBe(400);
    expect(body).toMatchObject({
      error: { param: "inputs.topic", message: expect.stringContaining("'topic' is missing") },
    });
  });

  it.each(["research", "apart"])(
    "works in the background, by its other name and on a thread: %s",
    async (name) => {
      expect((await server.get(`/v2/models/${name}/inputs`)).body).toEqual({ inputs: ["topic"] });
      const missing = await server.post(`/v2/models/${name}/kickoff`, { inputs: {} });
      expect(missing).toMatchObject({ status: 400, body: { error: expect.stringContaining("'topic'") } });
      const { body } = await server.post(`/v2/models/${name}/kickoff`, { inputs: { topic: "onnx" } });
      const { kickoff_id: id } = body as { kickoff_id: string };
      const done = await eventually(async () => {
        const found = (await server.get(`/status/${id}`)).body as {
          state: string;
          tasks: { task_id: string }[];
        };
        return !["PENDING", "RUNNING"].includes(found.state) && found;
      });
      expect(done).toMatchObject({ state: "SUCCESS", result: expect.any(String) });
      expect(done.tasks.map(({ task_id }) => task_id)).toEqual(["research", "analysis", "report"]);
    },
  );
});
