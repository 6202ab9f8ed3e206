import { expect, it } from "vitest";
import { serve, TestRepository } from "../support/server.ts";
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
