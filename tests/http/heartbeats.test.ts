import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { answerOf, EventReader, gatewayTo, type TestGateway } from "../gateway/support.ts";
import { eventually } from "../support/eventually.ts";
import { eventsOf, type LlmServer, serveLlms } from "../support/scripted-llm.ts";

/** Longer than a heartbeat, before each token. */
const SLOW_MS = 150;
const settings = { stream_heartbeat: "30ms" };

let served: LlmServer;
let gateway: TestGateway;
/** With the heartbeats of the defaults. */
let patient: LlmServer;
let patientGateway: TestGateway;
beforeAll(async () => {
  [served, patient] = [await serveLlms(settings), await serveLlms()];
  const parameters = { version: "1", extra: { framework: "echo", delay_ms: SLOW_MS } };
  await served.repository.write("slow", { name: "slow", implementation: "llm", parameters });
  expect((await served.server.post("/v2/repository/models/slow/load")).status).toBe(200);
  gateway = await gatewayTo(`127.0.0.1:${served.server.running.grpc.port}`, settings);
  patientGateway = await gatewayTo(`127.0.0.1:${patient.server.running.grpc.port}`);
});
afterAll(async () => {
  for (const each of [gateway, patientGateway, served, patient]) await each?.[Symbol.asyncDispose]();
});

type Asked = readonly [path: string, body?: object];
const inputs = (text: string) => [{ name: "text_input", datatype: "BYTES", shape: [1], data: [text] }];

/** Every way to be answered in server-sent events. */
const routes: Readonly<Record<string, (model: string, prompt: string) => Asked>> = {
  "chat completions": (model, content) => [
    "/v1/chat/completions",
    { model, messages: [{ role: "user", content }], stream: true },
  ],
  completions: (model, prompt) => ["/v1/completions", { model, prompt, stream: true }],
  responses: (model, input) => ["/v1/responses", { model, input, stream: true }],
  stream: (model, prompt) => ["/v1/stream", { model, prompt }],
  generate: (model, prompt) => ["/v1/generate", { model, prompt, stream: true }],
  generate_stream: (model, text_input) => [`/v2/models/${model}/generate_stream`, { text_input }],
  infer_stream: (model, text) => [`/v2/models/${model}/infer_stream`, { inputs: inputs(text) }],
  "a browser's stream": (model, prompt) => [`/v2/models/${model}/stream?prompt=${prompt}`],
  "a browser's stream that may be resumed": (model, prompt) => [
    `/v2/models/${model}/stream?resume=1&prompt=${prompt}`,
  ],
};

async function ask(origin: string, [path, body]: Asked, headers: Record<string, string> = {}) {
  const asked = body && { method: "POST", body: JSON.stringify(body) };
  const all = { ...headers, ...(body && { "content-type": "application/json" }) };
  const answer = await fetch(origin + path, { ...asked, headers: all });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}

const ofServer = Object.entries(routes);
const ofGateway = ofServer.filter(([name]) => name.startsWith("a browser"));
const everywhere = [
  ...ofServer.map(([name, of]) => [name, of, () => served.server.url, () => patient.server.url] as const),
  ...ofGateway.map(
    ([name, of]) => [`${name} of a gateway`, of, () => gateway.url, () => patientGateway.url] as const,
  ),
];

describe.each(everywhere)("%s", (_, asked, origin, patientOrigin) => {
  it("sends heartbeats before the first token", async () => {
    const { status, headers, text } = await ask(origin(), asked("slow", "hello"));
    expect([status, headers.get("content-type")]).toEqual([200, "text/event-stream; charset=utf-8"]);
    expect(text).toMatch(/^: ping\n/);
    expect(text).toMatch(/Echo:/);
    expect(JSON.stringify(eventsOf(text))).not.toContain("ping");
  });

  it("answers with the status of what fails before the first heartbeat", async () => {
    expect(await ask(patientOrigin(), asked("scripted", "refuse"))).toMatchObject({
      status: 429,
      text: expect.stringContaining("Come back later"),
    });
  });

  it("tells in an event what fails after it, and ends", async () => {
    const { status, text } = await ask(origin(), asked("scripted", "silent"), {
      "x-request-timeout-ms": String(SLOW_MS),
    });
    expect(status).toBe(200);
    expect(text).toMatch(/^: ping\n/);
    const events = eventsOf(text).filter(({ data }) => data !== "[DONE]");
    expect(events).toMatchObject([{ data: expect.stringMatching(/deadline/i) }]);
  });
});

describe("a browser's stream that failed after a heartbeat, and before its first token", () => {
  it.each([["server"], ["gateway"]])("of the %s is over for who comes back", async (where) => {
    const origin = where === "server" ? served.server.url : gateway.url;
    const path = "/v2/models/scripted/stream?resume=1&prompt=silent";
    const { text } = await ask(origin, [path], { "x-request-timeout-ms": String(SLOW_MS) });
    const [failure] = eventsOf(text);
    expect(failure).toMatchObject({ event: "failure", id: expect.stringMatching(/:1$/) });
    expect((await ask(origin, [path], { "last-event-id": failure!.id! })).status).toBe(204);
  });
});

it("lets a browser come back that lost its connection before the first token", async () => {
  const url = `${served.server.url}/v2/models/slow/stream?resume=1&prompt=hello`;
  using first = new EventReader(url);
  await eventually(() => first.text.includes("ping"));
  first.leave();
  const id = /^retry: 1000\nid: (\S+:0)\n$/m.exec(first.text)![1]!;
  using second = new EventReader(url, { headers: { "last-event-id": id } });
  expect(answerOf((await second.ended()).events)).toBe("Echo: hello");
  expect(second.events.map((event) => event.id)).toEqual(
    [1, 2, 3].map((number) => id.replace(/0$/, `${number}`)),
  );
});

it("goes unnoticed by OpenAI's client", async () => {
  const client = new OpenAI({ baseURL: `${served.server.url}/v1`, apiKey: "none", maxRetries: 0 });
  const stream = await client.chat.completions.create({
    model: "slow",
    messages: [{ role: "user", content: "hello" }],
    stream: true,
  });
  const pieces = await Array.fromAsync(stream, ({ choices }) => choices[0]?.delta.content ?? "");
  expect(pieces.join("")).toBe("Echo: hello");
});

it("is not sent where settings turn it off", async () => {
  await using quiet = await serveLlms({ stream_heartbeat: "0" }, false);
  const { status } = await ask(quiet.server.url, ["/v1/stream", { prompt: "silent" }], {
    "x-request-timeout-ms": String(SLOW_MS),
  });
  expect(status).toBe(504);
});
