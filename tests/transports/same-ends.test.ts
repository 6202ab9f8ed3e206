import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { TestClient } from "../support/grpc.ts";
import { addScripted, script } from "../support/scripted-llm.ts";
import { serve, TestRepository, type TestServer } from "../support/server.ts";
import { CASES } from "../support/tiny-chat.ts";
import { type Asked, WAYS } from "./ways-of-asking.ts";

let repository: TestRepository;
let server: TestServer;
let grpc: TestClient;
beforeAll(async () => {
  repository = await TestRepository.create();
  await repository.addSample("tiny-chat");
  await addScripted(repository);
  server = await serve(repository.root);
  grpc = new TestClient(`127.0.0.1:${server.running.grpc.port}`);
});
afterAll(async () => {
  grpc.close();
  await server[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
});

const { messages, text, prompt_tokens: input, completion_tokens: output } = CASES[0]!;
const question = messages[0]!.content as string;

describe.each(WAYS)("an answer by $name", (way) => {
  const ask = (asked: Asked) => way.ask(asked, server, grpc);

  it("that is complete says so, and what it took", async () => {
    expect(await ask({ model: "tiny-chat", text: question })).toEqual({
      text,
      finish: "stop",
      input,
      output,
    });
  });

  it("that is cut short says so", async () => {
    const told = await ask({ model: "tiny-chat", text: question, maxTokens: 4 });
    expect(told).toMatchObject({ finish: "length", input, output: 4 });
    expect(text.startsWith((told as { text: string }).text)).toBe(true);
  });

  it("that ends in calls of tools says so", async () => {
    const told = await ask({ model: "scripted", text: "tools" });
    expect(told).toMatchObject({ text: "Let me see.", finish: "tool_calls" });
  });

  it("that is cancelled fails, and stops the model", async () => {
    const before = script.aborted;
    const requestId = `ends-${WAYS.indexOf(way)}`;
    const work = ask({ model: "scripted", text: "forever", requestId });
    await eventually(async () => {
      const { body } = await server.post(`/v2/cancel/${requestId}`);
      return (body as { cancelled?: boolean }).cancelled === true;
    });
    expect(await work).toBeOneOf(["499", "failed in the stream", "CANCELLED"]);
    expect(script.aborted).toBe(before + 1);
  });
});
