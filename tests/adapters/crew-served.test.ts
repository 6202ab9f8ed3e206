import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
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
