import { afterAll, beforeAll, expect, it } from "vitest";
import { GRPCInferenceService } from "../../src/grpc/generated/services.ts";
import { TestClient } from "../support/grpc.ts";
import { openStream } from "../support/grpc-llm.ts";
import { dataOf, eventsOf, type LlmServer, serveLlms } from "../support/scripted-llm.ts";

let served: LlmServer;
let grpc: TestClient;
beforeAll(async () => {
  served = await serveLlms();
  grpc = new TestClient(`127.0.0.1:${served.server.running.grpc.port}`);
});
afterAll(async () => {
  grpc.close();
  await served[Symbol.asyncDispose]();
});

const STEPS = [{ name: "tool", detail: { city: "Rome" } }, { name: "rest" }];

async function post(path: string, body: object): Promise<string> {
  const headers = { "content-type": "application/json" };
  const init = { method: "POST", headers, body: JSON.stringify(body) };
  return (await served.server.request(path, init)).text();
}

const stepsIn = (text: string) =>
  (dataOf(text) as { step?: unknown }[]).flatMap(({ step }) => (step === undefined ? [] : [step]));

const WORKS = [Buffer.from("works")];
const TENSORS = { inputs: [{ name: "text_input", datatype: "BYTES", shape: [1], data: ["works"] }] };

it("are in the text API's stream where they are asked for", async () => {
  const body = { model: "scripted", prompt: "works" };
  expect(stepsIn(await post("/v1/stream", { ...body, include_steps: true }))).toEqual(STEPS);
  expect(stepsIn(await post("/v1/stream", body))).toEqual([]);
});

it("are in V2's generate_stream where they are asked for", async () => {
  const path = "/v2/models/scripted/generate_stream";
  const [first] = dataOf(await post(path, { text_input: "works", include_steps: true }));
  expect(first).toMatchObject({ model_name: "scripted", text_output: "", step: STEPS[0] });
  expect(stepsIn(await post(path, { text_input: "works" }))).toEqual([]);
});

it("are parameters of V2's responses where a parameter asks for them", async () => {
  const stepsOf = async (parameters: object) => {
    const text = await post("/v2/models/scripted/infer_stream", { ...TENSORS, parameters });
    return (dataOf(text) as { parameters?: { step?: string } }[]).flatMap((each) =>
      each.parameters?.step === undefined ? [] : [each.parameters],
    );
  };
  expect(await stepsOf({ include_steps: true })).toEqual([
    { step: "tool", step_detail: '{"city":"Rome"}' },
    { step: "rest" },
  ]);
  expect(await stepsOf({})).toEqual([]);
});

it("are events of a browser's stream of tensors", async () => {
  const text = await post("/v2/models/scripted/stream", { ...TENSORS, parameters: { include_steps: true } });
  const steps = eventsOf(text).filter(({ event }) => event === "step");
  expect(steps.map(({ data }) => JSON.parse(data))).toEqual(STEPS);
});

it("are parameters of ModelStreamInfer's responses", async () => {
  const request = {
    modelName: "scripted",
    inputs: [{ name: "text_input", datatype: "BYTES", shape: [1n], contents: { bytesContents: WORKS } }],
    parameters: { include_steps: { boolParam: true } },
  };
  const { messages } = await grpc.stream(GRPCInferenceService.ModelStreamInfer, [request]);
  const parameters = messages.map(({ inferResponse }) => inferResponse!.parameters);
  expect(parameters.map(({ step }) => step?.stringParam)).toEqual(["tool", "rest", undefined, undefined]);
  expect(parameters[0]!.step_detail?.stringParam).toBe('{"city":"Rome"}');
});

it("are chunks of the LLM service where they are asked for", async () => {
  const stepsOf = async (includeSteps: boolean) => {
    const request = { model: "scripted", prompt: "works", includeSteps };
    const { chunks, end } = openStream(grpc, "ChatCompletionStream", request);
    expect((await end).code).toBe("OK");
    expect(chunks.map(({ index }) => index)).toEqual(chunks.map((_, place) => place));
    return chunks.flatMap(({ step }) => step ?? []).map(({ name, detail }) => ({ name, detail }));
  };
  expect(await stepsOf(true)).toEqual([
    { name: "tool", detail: '{"city":"Rome"}' },
    { name: "rest", detail: "" },
  ]);
  expect(await stepsOf(false)).toEqual([]);
});
