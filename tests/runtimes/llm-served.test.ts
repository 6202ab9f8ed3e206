import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { serve, TestRepository, type TestServer } from "../support/server.ts";

describe("a language model on the server", () => {
  let repository: TestRepository;
  let server: TestServer;

  beforeAll(async () => {
    repository = await TestRepository.create();
    const parameters = { extra: { sampling: { max_tokens: 3 }, idle_unload: "5m" } };
    await repository.write("parrot", { implementation: "llm", framework: "echo", parameters });
    await repository.write("typo", {
      implementation: "llm",
      framework: "echo",
      parameters: { extra: { delay: 1 } },
    });
    server = await serve(repository.root);
  });

  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    await repository[Symbol.asyncDispose]();
  });

  it("tells its inputs, of which either will do, and its outputs", async () => {
    const { body } = await server.get("/v2/models/parrot");
    const names = (tensors: unknown) => (tensors as { name: string }[]).map(({ name }) => name);
    const { platform, inputs, outputs } = body as { platform: string; inputs: unknown; outputs: unknown };
    expect(platform).toBe("llm");
    expect(names(inputs)).toEqual(["text_input", "messages"]);
    expect(names(outputs)).toEqual(["text_output", "finish_reason", "input_tokens", "output_tokens"]);
  });

  it.each([
    [{ name: "prompt", datatype: "BYTES", shape: [2, 1], data: [["a b c"], ["d"]] }],
    [{ name: "text_input", datatype: "BYTES", shape: [2], data: ["a b c", "d"] }],
    [
      {
        name: "messages",
        datatype: "BYTES",
        shape: [2],
        data: ["a b c", "d"].map((content) => JSON.stringify([{ role: "user", content }])),
      },
    ],
  ])("answers %j", async (input) => {
    const outputs = [{ name: "text_output" }, { name: "finish_reason" }];
    const { status, body } = await server.post("/v2/models/parrot/infer", { inputs: [input], outputs });
    expect(status).toBe(200);
    expect((body as { outputs: { data: unknown }[] }).outputs.map(({ data }) => data)).toEqual([
      ["Echo: a b", "Echo: d"],
      ["length", "stop"],
    ]);
  });

  it("gives only the text when no outputs are asked for", async () => {
    const inputs = [{ name: "args", datatype: "BYTES", shape: [1], data: ["a"] }];
    const { body } = await server.post("/v2/models/parrot/infer", { inputs });
    expect(body).toMatchObject({ outputs: [{ name: "text_output", shape: [1], data: ["Echo: a"] }] });
    expect((body as { outputs: unknown[] }).outputs).toHaveLength(1);
  });

  it("says what is wrong with a request, and with the adapter's options", async () => {
    const inputs = [{ name: "text_input", datatype: "BYTES", shape: [1, 2], data: ["a", "b"] }];
    expect(await server.post("/v2/models/parrot/infer", { inputs })).toEqual({
      status: 400,
      body: { error: "Input 'text_input': shape [1,2] does not fit the model's [-1]" },
    });
    const { status, body } = await server.get("/v2/models/typo/ready");
    expect(status).toBe(503);
    expect(JSON.stringify(body)).toContain("delay: unknown key");
  });
});
