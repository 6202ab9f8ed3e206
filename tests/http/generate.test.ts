import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RunningCalls } from "../../src/host/running.ts";
import { eventually } from "../support/eventually.ts";
import { dataOf, eventsOf, type LlmServer, script, serveLlms } from "../support/scripted-llm.ts";
import type { TestServer } from "../support/server.ts";

let served: LlmServer;
let server: TestServer;
beforeAll(async () => {
  served = await serveLlms({ stream_heartbeat: "20ms" });
  server = served.server;
});
afterAll(() => served[Symbol.asyncDispose]());

const echo = (route: string) => `/v2/models/echo/${route}`;
const scripted = (route: string) => `/v2/models/scripted/${route}`;
const tensor = (name: string, ...data: string[]) => ({
  inputs: [{ name, shape: [data.length], datatype: "BYTES", data }],
});

function send(path: string, body: unknown, headers: Record<string, string> = {}) {
  const json = { "content-type": "application/json", ...headers };
  return server.request(path, { method: "POST", headers: json, body: JSON.stringify(body) });
}
const textOf = async (path: string, body: unknown) => (await send(path, body)).text();

describe("generate", () => {
  it("answers with the text, and details when asked for", async () => {
    const plain = await send(echo("generate"), { id: "a", text_input: "hi" });
    expect(plain.headers.get("x-capstan-model-version")).toBe("7");
    expect(await plain.json()).toEqual({
      id: "a",
      model_name: "echo",
      model_version: "7",
      text_output: "Echo: hi",
    });
    const { body } = await server.post("/v2/models/echo/versions/7/generate", {
      text_input: "a b c",
      parameters: { max_tokens: 2, details: true, stop: ["zzz"], stream: false },
    });
    expect(body).toEqual({
      ...{ model_name: "echo", model_version: "7", text_output: "Echo: a" },
      details: { finish_reason: "length", input_tokens: 3, output_tokens: 2 },
    });
  });

  it("takes parameters beside the text, too, and passes on those it does not know", async () => {
    const { body } = await server.post(scripted("generate"), {
      text_input: "seen",
      temperature: 1,
      parameters: { session_id: "s", guided: "x" },
    });
    expect(JSON.parse((body as { text_output: string }).text_output)).toEqual({
      messages: [{ role: "user", content: "seen" }],
      sampling: { temperature: 1 },
      session: "s",
      extra: { guided: "x" },
    });
  });

  it("takes the names of /v1/generate", async () => {
    const asked = { prompt: "a b c", max_new_tokens: 2 };
    const { body } = await server.post(echo("generate"), asked);
    expect(body).toMatchObject({ text_output: "Echo: a" });
    expect(eventsOf(await textOf(echo("stream"), asked)).map(({ event }) => event)).toEqual([
      ...["token", "token", "done"],
    ]);
  });

  it("says of every answer of a language model which version, from which cache, and at what overhead", async () => {
    const asked = tensor("text_input", "hi");
    for (const route of ["infer", "generate", "infer_stream", "generate_stream", "stream"]) {
      const { headers } = await send(echo(route), asked);
      expect([route, headers.get("x-capstan-model-version"), headers.get("x-capstan-cache")]).toEqual([
        ...[route, "7", "bypass"],
      ]);
      expect(Number(headers.get("x-capstan-overhead-ms"))).toBeGreaterThan(0);
    }
  });

  it("takes an inference request", async () => {
    const { body } = await server.post(echo("generate"), { id: "i", ...tensor("text_input", "a", "b") });
    expect(body).toMatchObject({
      id: "i",
      model_name: "echo",
      outputs: [{ name: "text_output", datatype: "BYTES", shape: [2], data: ["Echo: a", "Echo: b"] }],
    });
  });

  const faults: [string, object, number][] = [
    ["no text", {}, 400],
    ["a text that is none", { text_input: 5 }, 400],
    ["parameters that are none", { text_input: "a", parameters: 5 }, 400],
    ["a limit out of range", { text_input: "a", parameters: { max_tokens: -1 } }, 400],
    ["several answers", { text_input: "a", parameters: { n: 2 } }, 400],
    ["a stream", { text_input: "a", parameters: { stream: true } }, 400],
    ["tensors that do not fit", tensor("nothing", "a"), 400],
  ];
  it.each(faults)("refuses %s", async (_what, body, status) => {
    const answer = await server.post(echo("generate"), body);
    expect(answer).toEqual({ status, body: { error: expect.stringMatching(/.+/) } });
  });

  it("refuses a model that is unknown or no language model", async () => {
    expect(await server.post("/v2/models/none/generate_stream", { text_input: "a" })).toMatchObject({
      status: 404,
      body: { error: expect.stringContaining("none") },
    });
    expect((await server.post("/v2/models/echo/versions/8/generate", { text_input: "a" })).status).toBe(404);
  });
});

describe("generate_stream", () => {
  it("has an event for each piece of text", async () => {
    const names = { model_name: "echo", model_version: "7" };
    expect(dataOf(await textOf(echo("generate_stream"), { text_input: "a" }))).toEqual([
      { ...names, text_output: "Echo:" },
      { ...names, text_output: " a" },
    ]);
    const detailed = { text_input: "a", parameters: { details: true } };
    expect(dataOf(await textOf("/v2/models/echo/versions/7/generate_stream", detailed)).at(-1)).toEqual({
      ...{ ...names, text_output: "" },
      details: { finish_reason: "stop", input_tokens: 1, output_tokens: 2 },
    });
  });

  it.each(["generate_stream", "infer_stream"])("%s takes an inference request", async (route) => {
    const body = { id: "i", parameters: { binary_data_output: true }, ...tensor("text_input", "a") };
    const events = dataOf(await textOf(echo(route), body)) as { outputs: { data: string[] }[] }[];
    expect(events.map(({ outputs }) => outputs[0]!.data[0])).toEqual(["Echo:", " a", ""]);
    expect(events.at(-1)).toMatchObject({
      id: "i",
      parameters: { triton_final_response: true, finish_reason: "stop" },
    });
  });

  it("is a stream without events when there is no text", async () => {
    const response = await send(scripted("generate_stream"), { text_input: "empty" });
    expect([response.status, await response.text()]).toEqual([200, ""]);
  });

  it("ends with an error that came after the first token, and refuses before it", async () => {
    const events = dataOf(await textOf(scripted("generate_stream"), { text_input: "breaks" }));
    expect(events.slice(1)).toEqual([{ error: "The upstream broke off" }]);
    expect(await server.post(scripted("generate_stream"), { text_input: "refuse" })).toEqual({
      status: 429,
      body: { error: "Come back later" },
    });
    expect((await server.post(scripted("generate_stream"), {})).status).toBe(400);
  });

  it("is kept open by comments", async () => {
    expect(await textOf(scripted("generate_stream"), { text_input: "slow" })).toMatch(/one"}\n\n: ping\n\n/);
  });

  it("makes the model wait for a client that does not read, and stops it when the client goes", async () => {
    const { floods } = script;
    const body = JSON.stringify({ text_input: "flood" });
    const request = http.request(server.url + scripted("generate_stream"), { method: "POST" });
    const response = await new Promise<http.IncomingMessage>((resolve) => {
      request.once("response", resolve).end(body);
    });
    response.pause();
    let produced = script.produced;
    await eventually(async () => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      const stands = script.produced === produced;
      produced = script.produced;
      return stands;
    });
    expect(produced).toBeLessThan(2000);
    response.destroy();
    await eventually(() => script.floods === floods + 1);
    expect(script.produced).toBeLessThan(2000);
  });

  it("ends with an event when the deadline passes in the middle", async () => {
    const body = { text_input: "forever", parameters: { timeout: 50_000 } };
    const events = dataOf(await textOf(scripted("generate_stream"), body));
    expect(events.at(-1)).toEqual({ error: expect.stringMatching(/deadline/) });
  });
});

describe("the stream of an EventSource", () => {
  const data = (text: string) =>
    eventsOf(text).map((event) => ({ ...event, data: JSON.parse(event.data) as unknown }));

  it("has tokens and an end, each with an id", async () => {
    const response = await server.request(`${echo("stream")}?prompt=a+b&max_tokens=2&temperature=0.5`);
    const id = response.headers.get("x-request-id");
    expect(data(await response.text())).toEqual([
      { event: "token", id: `${id}:1`, data: { text: "Echo:" } },
      { event: "token", id: `${id}:2`, data: { text: " a" } },
      {
        event: "done",
        id: `${id}:3`,
        data: { finish_reason: "length", usage: { input_tokens: 2, output_tokens: 2 } },
      },
    ]);
  });

  it("takes the session and stop sequences from the query", async () => {
    const text = await (
      await server.request(`${scripted("stream")}?prompt=seen&session_id=s&stop=☂&stop=☃`)
    ).text();
    const request = (data(text)[0]!.data as { text: string }).text;
    expect(JSON.parse(request)).toMatchObject({ session: "s", sampling: { stop: ["☂", "☃"] } });
  });

  it.each([
    ["a generate request", { text_input: "a" }],
    ["an inference request", tensor("prompt", "a")],
  ])("takes %s", async (_what, body) => {
    const events = data(await textOf(echo("stream"), body));
    expect(events.map(({ event }) => event)).toEqual(["token", "token", "done"]);
    expect(events.at(-1)!.data).toEqual({
      finish_reason: "stop",
      usage: { input_tokens: 1, output_tokens: 2 },
    });
  });

  it("ends with a failure", async () => {
    expect(data(await textOf(scripted("stream"), { text_input: "breaks" })).at(-1)).toEqual({
      event: "failure",
      id: expect.stringMatching(/:2$/),
      data: { code: "UPSTREAM", error: "The upstream broke off" },
    });
  });

  it("is not begun again when it has ended", async () => {
    const headers = { "last-event-id": "a:3" };
    const again = await server.request(`${echo("stream")}?prompt=a`, { headers });
    expect([again.status, await again.text()]).toEqual([204, ""]);
  });

  it("answers HEAD without asking the model", async () => {
    const response = await server.request(`${scripted("stream")}?prompt=silent`, { method: "HEAD" });
    expect([response.status, response.headers.get("content-type")]).toEqual([
      200,
      expect.stringMatching(/^text\/event-stream/),
    ]);
  });

  it.each([
    ["?prompt=a&resume=1", 200],
    ["?prompt=a&ticket=t", 401],
    ["?prompt=a&resume=0", 200],
    ["", 400],
    ["?prompt=a&max_tokens=many", 400],
  ])("%s is %i", async (query, status) => {
    expect((await server.request(echo("stream") + query)).status).toBe(status);
  });
});

const metricsOf = async (of: TestServer) => (await of.request("/v1/metrics")).text();

describe("a server that stops", () => {
  it("lets streams end, and ends with an event those that take too long", async () => {
    await using stopping = await serveLlms({ drain_timeout: "300ms" });
    const ask = (text: string) => stopping.server.request(`${scripted("stream")}?prompt=${text}`);
    const answers = await Promise.all([ask("slow"), ask("forever")]);
    await stopping.server.running.close();
    const texts = await Promise.all(answers.map((answer) => answer.text()));
    const [slow, forever] = texts.map((text) => eventsOf(text).map(({ event }) => event));
    expect(slow).toEqual(["token", "token", "done"]);
    expect(forever).toEqual(["token", "failure"]);
  });

  it("says of an answer that takes too long that another server may be asked", async () => {
    await using stopping = await serveLlms({ drain_timeout: "100ms" });
    const init = { method: "POST", headers: { "content-type": "application/json" } };
    const body = JSON.stringify({ text_input: "forever" });
    const asked = stopping.server.request(scripted("generate"), { ...init, body });
    await eventually(async () => /llm_gateway_active_requests 1/.test(await metricsOf(stopping.server)));
    await stopping.server.running.close();
    const answer = await asked;
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(await answer.json()).toEqual({ error: "The server is stopping" });
  });

  it("does not wait for a connection without a request", async () => {
    const stopping = await serveLlms();
    const socket = net.connect(Number(new URL(stopping.server.url).port), "127.0.0.1");
    await once(socket, "connect");
    await stopping.server.get("/v2");
    const closed = once(socket, "close");
    await stopping[Symbol.asyncDispose]();
    await closed;
  });
});

describe("cancelling", () => {
  it("ends the caller's own request, streaming or not", async () => {
    const before = script.aborted;
    const cancel = (id: string) => server.post(`/v2/cancel/${id}`);
    const whole = send(scripted("generate"), { text_input: "silent" }, { "x-request-id": "whole" });
    const stream = send(scripted("stream"), { text_input: "forever" }, { "x-request-id": "stream" });
    const { headers } = await stream;
    expect(headers.get("x-request-id")).toBe("stream");
    expect(await cancel("stream")).toEqual({ status: 200, body: { cancelled: true } });
    expect(eventsOf(await (await stream).text()).at(-1)).toMatchObject({
      event: "failure",
      data: expect.stringContaining("CANCELLED"),
    });
    await eventually(async () => (await cancel("whole")).status === 200);
    expect((await whole).status).toBe(499);
    expect(script.aborted).toBe(before + 2);
  });

  it("knows nothing of what is over, or of another's", async () => {
    const running = new RunningCalls();
    const reasons: string[] = [];
    running.add({ requestId: "a", owner: "192.0.2.1", cancel: (reason) => reasons.push(reason) });
    expect(await running.cancel("a", "192.0.2.2")).toBe(false);
    expect(await running.cancel("a", "192.0.2.1")).toBe(true);
    expect(reasons).toHaveLength(1);
    expect(await server.post("/v2/cancel/whole")).toMatchObject({
      status: 404,
      body: { error: expect.stringContaining("whole") },
    });
  });
});
