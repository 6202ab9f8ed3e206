import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dataOf } from "../support/scripted-llm.ts";
import { serve, TestRepository, type TestServer } from "../support/server.ts";
import { CASES } from "../support/tiny-chat.ts";

it("answers from the sample repository, over V2", async () => {
  await using repository = await TestRepository.create();
  await repository.addSample("tiny-chat");
  await using server = await serve(repository.root);
  const { messages, text } = CASES[0]!;
  const input = { name: "text_input", datatype: "BYTES", shape: [1], data: [messages[0]!.content] };
  const { status, body } = await server.post("/v2/models/tiny-chat/infer", { inputs: [input] });
  expect({ status, body }).toMatchObject({ status: 200 });
  expect(body).toMatchObject({ outputs: [{ name: "text_output", datatype: "BYTES", data: [text] }] });
});

describe("log probabilities", () => {
  let repository: TestRepository;
  let server: TestServer;
  beforeAll(async () => {
    repository = await TestRepository.create();
    await repository.addSample("tiny-chat");
    server = await serve(repository.root);
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    await repository[Symbol.asyncDispose]();
  });

  const { messages, prompt, text } = CASES[0]!;
  interface Choice {
    readonly text: string;
    readonly delta: { readonly content?: string };
    readonly logprobs: { content: { token: string }[]; tokens: string[] } | null;
  }
  const post = async (path: string, body: object) => (await server.post(path, body)).body as never;
  async function streamed<T>(path: string, body: object): Promise<T[]> {
    const headers = { "content-type": "application/json" };
    const answer = await server.request(path, { method: "POST", headers, body: JSON.stringify(body) });
    return dataOf(await answer.text()) as T[];
  }

  it("are those of the chat, whole and streamed", async () => {
    const body = { model: "tiny-chat", messages, logprobs: true, top_logprobs: 2, max_tokens: 5 };
    const { choices }: { choices: Choice[] } = await post("/v1/chat/completions", body);
    const { content } = choices[0]!.logprobs!;
    expect(content).toHaveLength(5);
    expect(content[0]).toMatchObject({ bytes: expect.any(Array), top_logprobs: [{}, {}] });
    const events = await streamed<{ choices: Choice[] }>("/v1/chat/completions", { ...body, stream: true });
    const chunks = events.filter((event) => typeof event === "object").flatMap((event) => event.choices);
    expect(chunks.flatMap(({ logprobs }) => logprobs?.content ?? [])).toEqual(content);
    expect(chunks.map(({ delta }) => delta.content ?? "").join("")).toBe(
      content.map(({ token }) => token).join(""),
    );
  });

  it("are those of completions, whole and streamed", async () => {
    const body = { model: "tiny-chat", prompt, logprobs: 1, max_tokens: 5 };
    const { choices }: { choices: Choice[] } = await post("/v1/completions", body);
    expect(choices[0]!.logprobs!.tokens.join("")).toBe(choices[0]!.text);
    const events = await streamed<{ choices: Choice[] }>("/v1/completions", { ...body, stream: true });
    const chunks = events.filter((event) => typeof event === "object").flatMap((event) => event.choices);
    expect(chunks.flatMap(({ logprobs }) => logprobs?.tokens ?? [])).toEqual(choices[0]!.logprobs!.tokens);
  });

  it("are in responses that include them, whole and streamed", async () => {
    const include = ["message.output_text.logprobs"];
    const body = { model: "tiny-chat", input: "Hello", include, top_logprobs: 1, max_output_tokens: 16 };
    const { output }: { output: { content: object[] }[] } = await post("/v1/responses", body);
    const [part] = output[0]!.content as { text: string; logprobs: { token: string }[] }[];
    expect(part!.logprobs.map(({ token }) => token).join("")).toBe(part!.text);
    expect(part!.logprobs[0]).toMatchObject({ logprob: expect.any(Number), top_logprobs: [{}] });
    const events = await streamed<{ type: string; logprobs?: object[] }>("/v1/responses", {
      ...body,
      stream: true,
    });
    const deltas = events.filter(({ type }) => type === "response.output_text.delta");
    expect(deltas.flatMap(({ logprobs }) => logprobs)).toEqual(part!.logprobs);
    const done = events.find(({ type }) => type === "response.output_text.done");
    expect(done!.logprobs).toEqual(part!.logprobs);
  });

  it("come with the text API, and V2's generate", async () => {
    const asked = { model: "tiny-chat", prompt, logprobs: 0, max_new_tokens: 3 };
    expect(await post("/v1/generate", asked)).toMatchObject({ logprobs: { tokens: { length: 3 } } });
    const [first] = await streamed("/v1/stream", asked);
    expect(first).toMatchObject({ token: expect.any(String), logprobs: { tokens: { length: 1 } } });
    const path = "/v2/models/tiny-chat/generate";
    const v2 = { text_input: "Hello", parameters: { logprobs: true, max_tokens: 3 } };
    expect(await post(path, v2)).toMatchObject({ details: { logprobs: { content: { length: 3 } } } });
    const [piece] = await streamed(`${path}_stream`, v2);
    expect(piece).toMatchObject({ details: { logprobs: { content: { length: 1 } } } });
  });

  it("are refused where V2 has no output for them, like all that has no effect there", async () => {
    const infer = (parameters: object) =>
      server.post("/v2/models/tiny-chat/infer", {
        inputs: [{ name: "text_input", datatype: "BYTES", shape: [1], data: [messages[0]!.content] }],
        parameters,
      });
    expect(await infer({ logprobs: true })).toMatchObject({
      status: 501,
      body: { error: expect.stringContaining("'logprobs' has no effect over V2") },
    });
    for (const parameters of [{ n: 2 }, { tools: "[]" }, { logit_bias: "{}" }])
      expect((await infer(parameters)).status).toBe(501);
    expect(await infer({ n: 1, logprobs: false, user: "me" })).toMatchObject({
      body: { outputs: [{ data: [text] }] },
    });
  });

  it("may be asked for an answer of a form over V2", async () => {
    const infer = (response_format: string) =>
      server.post("/v2/models/tiny-chat/infer", {
        inputs: [{ name: "text_input", datatype: "BYTES", shape: [1], data: ["Hello"] }],
        parameters: { response_format, max_tokens: 40 },
      });
    const schema = { type: "object", properties: { ok: { type: "boolean" } }, required: ["ok"] };
    const { body } = await infer(JSON.stringify({ type: "json_schema", json_schema: { schema } }));
    const [output] = (body as { outputs: { data: string[] }[] }).outputs;
    expect(JSON.parse(output!.data[0]!)).toEqual({ ok: expect.any(Boolean) });
    expect((await infer("json")).status).toBe(400);
  });
});
