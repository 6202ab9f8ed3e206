import { FakeListChatModel } from "@langchain/core/utils/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { support } from "../../model-settings/support/graph.ts";
import { serve, TestRepository, type TestServer } from "../support/server.ts";

let repository: TestRepository;
let server: TestServer;
beforeAll(async () => {
  repository = await TestRepository.create();
  for (const sample of ["support", "tiny-chat"]) await repository.addSample(sample);
  server = await serve(repository.root);
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await repository?.[Symbol.asyncDispose]();
});

interface Answer {
  readonly choices: readonly {
    readonly message: { readonly content: string };
    readonly finish_reason: string;
  }[];
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number };
}

async function ask(...texts: readonly string[]): Promise<Answer> {
  const roles = ["user", "assistant"];
  const messages = texts.map((content, index) => ({ role: roles[index % 2], content }));
  const { status, body } = await server.post("/v1/chat/completions", {
    model: "support",
    messages,
    temperature: 0,
    max_tokens: 40,
  });
  expect(body).toMatchObject({ choices: [{}] });
  expect(status).toBe(200);
  return body as Answer;
}

const said = async (...texts: readonly string[]) => (await ask(...texts)).choices[0]!.message.content;

describe("the sample 'support'", () => {
  it("looks an order up, and the model answers from what it found", async () => {
    expect(await said("Where is my order 1001?")).toBe("The city is Oslo.");
    expect(await said("When does order 1002 arrive?")).toBe("The date is Tuesday.");
    expect(await said("What did 1003 cost?")).toBe("The price is 12.");
    const { usage, choices } = await ask("Whose is 1002?");
    expect(choices[0]).toMatchObject({ message: { content: "The owner is Kenji." }, finish_reason: "stop" });
    expect(usage.prompt_tokens).toBeGreaterThan(10);
    expect(usage.completion_tokens).toBeGreaterThan(3);
  });

  it("knows which order the conversation is about", async () => {
    const first = ["Where is my order 1001?", "The city is Oslo."];
    expect(await said(...first, "And when will it arrive?")).toBe("The date is Friday.");
  });

  it("answers without the model where there is no such order, and else as the model does", async () => {
    expect(await said("Where is order 9999?")).toBe("There is no order of that number.");
    expect(await said("Hello")).toBe("Hello! How can I help you?");
  });

  it("streams the model's tokens", async () => {
    const body = {
      model: "support",
      stream: true,
      messages: [{ role: "user", content: "Where is order 1002?" }],
    };
    const response = await server.request("/v1/chat/completions", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ ...body, temperature: 0 }),
    });
    const events = (await response.text()).split("\n\n").filter((line) => line.includes('"content":"'));
    expect(events.length).toBeGreaterThan(2);
  });

  it("is a model of the V2 protocol as well", async () => {
    const inputs = [
      { name: "text_input", datatype: "BYTES", shape: [1], data: ["What did order 1001 cost?"] },
    ];
    const { body } = await server.post("/v2/models/support/infer", {
      inputs,
      parameters: { temperature: 0 },
    });
    expect(body).toMatchObject({ outputs: [{ name: "text_output", data: ["The price is 20."] }] });
  });
});

describe("its graph", () => {
  const nodesOf = async (question: string) => {
    const graph = support({ llm: new FakeListChatModel({ responses: ["yes"] }) });
    const messages = [{ role: "user", content: question }];
    const updates = await Array.fromAsync(await graph.stream({ messages }, { streamMode: "updates" }));
    return updates.flatMap((update) => Object.keys(update));
  };

  it("calls the tool where an order is named, and asks the model alone where none is", async () => {
    expect(await nodesOf("Where is 1001?")).toEqual(["route", "orders", "answer_from_order"]);
    expect(await nodesOf("Good morning")).toEqual(["route", "answer"]);
  });
});
