import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { type LlmServer, script, serveLlms } from "../support/scripted-llm.ts";
import { type Answers, FakeUpstream, FINAL, textAnswer } from "./fake-upstream.ts";
import { dataOfEvent, EventReader, gatewayTo, type TestGateway } from "./support.ts";

let served: LlmServer;
let gateway: TestGateway;
const origins = { allow_origins: ["https://page.test"], allow_methods: ["GET", "POST"] };
beforeAll(async () => {
  served = await serveLlms();
  gateway = await gatewayTo(`127.0.0.1:${served.server.running.grpc.port}`, { cors_settings: origins });
});
afterAll(async () => {
  await gateway.close();
  await served[Symbol.asyncDispose]();
});

const url = (path: string) => `${gateway.url}/v2/models/${path}`;
const json = (body: unknown) => ({
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});
async function read(path: string, sent?: ConstructorParameters<typeof EventReader>[1]) {
  using reader = new EventReader(url(path), sent);
  return { ...(await reader.ended()), text: reader.text };
}

describe("a gateway", () => {
  it("gives the events that the server's own stream has", async () => {
    const { events } = await read("echo/versions/7/stream?prompt=a+b&max_tokens=2", {
      headers: { "x-request-id": "mine" },
    });
    expect(events).toEqual([
      { event: "token", id: "mine:1", data: '{"text":"Echo:"}' },
      { event: "token", id: "mine:2", data: '{"text":" a"}' },
      {
        event: "done",
        id: "mine:3",
        data: '{"finish_reason":"length","usage":{"input_tokens":2,"output_tokens":2}}',
      },
    ]);
  });

  it.each([
    ["a generate request", { text_input: "a", parameters: { stop: ["x", "y"], temperature: 0.5 } }],
    [
      "an inference request",
      { inputs: [{ name: "prompt", shape: [1], datatype: "BYTES", data: ["a"] }], parameters: { seed: 1 } },
    ],
  ])("takes %s", async (_what, body) => {
    const { events } = await read("echo/stream", json(body));
    expect(events.map(({ event }) => event)).toEqual(["token", "token", "done"]);
  });

  it("passes the settings of a text on as parameters", async () => {
    const { events } = await read("scripted/stream?prompt=seen&temperature=0.5&stop=☂&stop=☃&session_id=s");
    const { text } = dataOfEvent(events[0]!) as { text: string };
    expect(JSON.parse(text)).toEqual({
      messages: [{ role: "user", content: "seen" }],
      sampling: { temperature: 0.5, stop: ["☂", "☃"] },
      session: "s",
    });
  });

  const faults: [string, string, number, string][] = [
    ["an unknown model", "none/stream?prompt=a", 404, "none"],
    ["an unknown version", "echo/versions/8/stream?prompt=a", 404, "8"],
    ["a model's own refusal", "scripted/stream?prompt=refuse", 429, "Come back later"],
    ["no prompt", "echo/stream", 400, "prompt"],
    ["a number that is none", "echo/stream?prompt=a&max_tokens=many", 400, "max_tokens"],
    ["a number out of range", "echo/stream?prompt=a&temperature=99", 400, "temperature"],
    ["a name that is none", "..%2Fx/stream?prompt=a", 400, "model"],
    ["a failure of the model's code", "scripted/stream?prompt=burst", 500, "request id"],
  ];
  it.each(faults)("answers %s with a status", async (_what, path, status, words) => {
    const answer = await fetch(url(path));
    expect([answer.status, await answer.json()]).toEqual([status, { error: expect.stringContaining(words) }]);
  });

  it("refuses bodies that are no requests, and routes that are not its own", async () => {
    const nested = json({ text_input: "a", parameters: { guided: { json: true } } });
    for (const [sent, words] of [
      [json([]), "object"],
      [nested, "guided"],
      [json({ text_input: "a", ticket: "t" }), "GET"],
    ] as const) {
      const answer = await fetch(url("echo/stream"), sent);
      expect([answer.status, await answer.json()]).toEqual([400, { error: expect.stringContaining(words) }]);
    }
    expect((await fetch(url("echo/infer"), json({}))).status).toBe(404);
    expect((await fetch(url("echo/stream"), { method: "DELETE" })).status).toBe(405);
  });

  it.each(["talk 1", "\u65e5\u672c \u00e9"])("passes the session %j on", async (session) => {
    const headers = { "x-session-id": Buffer.from(session).toString("latin1") };
    const { events } = await read("scripted/stream?prompt=seen", { headers });
    const seen = events.slice(0, -1).map((event) => (dataOfEvent(event) as { text: string }).text);
    expect(JSON.parse(seen.join(""))).toMatchObject({ session });
  });

  it("ends with a failure after the first token", async () => {
    expect((await read("scripted/stream?prompt=breaks")).events.at(-1)).toMatchObject({
      event: "failure",
      id: expect.stringMatching(/:2$/),
      data: '{"code":"UPSTREAM","error":"The upstream broke off"}',
    });
  });

  it("keeps silent streams open, and passes the deadline on", async () => {
    const upstream = `127.0.0.1:${served.server.running.grpc.port}`;
    await using beating = await gatewayTo(upstream, { stream_heartbeat: "20ms" });
    const headers = { "x-request-timeout-ms": "150" };
    using reader = new EventReader(`${beating.url}/v2/models/scripted/stream?prompt=forever`, { headers });
    const { events } = await reader.ended();
    expect(reader.text).toMatch(/: ping\n\n/);
    expect(events.at(-1)).toMatchObject({ event: "failure", data: expect.stringContaining("DEADLINE") });
  });

  it("stops the model when the client leaves", async () => {
    const before = script.aborted;
    using reader = new EventReader(url("scripted/stream?prompt=forever"));
    await reader.atLeast(1);
    reader.leave();
    await eventually(() => script.aborted === before + 1);
  });

  it("answers HEAD without asking the model", async () => {
    const { status, headers } = await fetch(url("none/stream?prompt=a"), { method: "HEAD" });
    expect([status, headers.get("content-type")]).toEqual([
      200,
      expect.stringMatching(/^text\/event-stream/),
    ]);
  });

  it("lets the pages of its origins read", async () => {
    const asked = await fetch(url("echo/stream?prompt=a"), { headers: { origin: "https://page.test" } });
    expect(asked.headers.get("access-control-allow-origin")).toBe("https://page.test");
    await asked.text();
    const other = await fetch(url("echo/stream?prompt=a"), { headers: { origin: "https://other.test" } });
    expect(other.headers.get("access-control-allow-origin")).toBeNull();
    await other.text();
    const preflight = await fetch(url("echo/stream/tickets"), {
      method: "OPTIONS",
      headers: { origin: "https://page.test", "access-control-request-method": "POST" },
    });
    expect([preflight.status, preflight.headers.get("access-control-allow-methods")]).toEqual([
      204,
      "GET,POST",
    ]);
  });

  it("is alive, and ready when the server behind is", async () => {
    const status = async (path: string) => (await fetch(gateway.url + path)).status;
    expect(await status("/v2/health/live")).toBe(200);
    expect(await status("/v2/health/ready")).toBe(200);
    expect(await (await fetch(`${gateway.url}/metrics`)).text()).toContain("/v2/models/:model/stream");
  });
});

describe("a gateway before another server", () => {
  const behind = async (answer: (stream: Answers) => void) => {
    const upstream = await FakeUpstream.start(answer);
    return { upstream, gateway: await gatewayTo(upstream.address) };
  };
  const ask = async (answer: (stream: Answers) => void, headers: Record<string, string> = {}) => {
    const { upstream, gateway: own } = await behind(answer);
    try {
      using reader = new EventReader(`${own.url}/v2/models/m/stream?prompt=a`, { headers });
      return { ...(await reader.ended()), text: reader.text, seen: upstream.seen };
    } finally {
      await own.close();
      upstream[Symbol.dispose]();
    }
  };

  it("tells it who asks, under which id and within which trace", async () => {
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const headers = {
      ...{ authorization: "Bearer k", "x-api-key": "key", "x-request-id": "r1", traceparent },
      ...{ tracestate: "a=b", "x-request-timeout-ms": "5000", cookie: "c=1" },
    };
    const { seen } = await ask((stream) => {
      stream.write(FINAL);
      stream.end();
    }, headers);
    const { cookie, ...passed } = headers;
    expect(seen[0]!.metadata.getMap()).toMatchObject(passed);
    expect(seen[0]!.metadata.get("cookie")).toEqual([]);
    expect(cookie).toBe("c=1");
  });

  it("reads the only output of texts, and ends at the final response of a stream that stays open", async () => {
    const { events } = await ask((stream) => {
      stream.write(textAnswer("words", "one"));
      stream.write(textAnswer("words", " two"));
      stream.write(FINAL);
    });
    expect(events.map(({ event, data }) => [event, data])).toEqual([
      ["token", '{"text":"one"}'],
      ["token", '{"text":" two"}'],
      ["done", '{"finish_reason":"stop"}'],
    ]);
  });

  it("reads the bare responses of MLServer", async () => {
    using upstream = await FakeUpstream.start((stream) => {
      stream.write(textAnswer("words", "one"));
      stream.write(textAnswer("words", " two"));
      stream.end();
    }, true);
    await using own = await gatewayTo(upstream.address);
    using reader = new EventReader(`${own.url}/v2/models/m/stream?prompt=a`);
    expect((await reader.ended()).events.map(({ data }) => data)).toEqual([
      '{"text":"one"}',
      '{"text":" two"}',
      '{"finish_reason":"stop"}',
    ]);
  });

  const faults: [string, (stream: Answers) => void, number, string][] = [
    ["its words", (s) => s.write({ errorMessage: "out of order" }), 502, "out of order"],
    ["our codes", (s) => s.write({ errorMessage: "QUEUE_FULL: Too many" }), 429, "Too many"],
    ["UNAUTHENTICATED", (s) => s.emit("error", { code: 16, details: "No key" }), 401, "No key"],
    ["PERMISSION_DENIED", (s) => s.emit("error", { code: 7, details: "Not yours" }), 403, "Not yours"],
    ["RESOURCE_EXHAUSTED", (s) => s.emit("error", { code: 8, details: "Slow down" }), 429, "Slow down"],
    ["UNIMPLEMENTED", (s) => s.emit("error", { code: 12, details: "No streams" }), 501, "No streams"],
    [
      "messages too large",
      (s) => s.emit("error", { code: 8, details: "message larger than max" }),
      413,
      "raise",
    ],
    ["UNKNOWN", (s) => s.emit("error", { code: 2, details: "Odd" }), 502, "Odd"],
    ["an answer without contents", (s) => s.write({}), 502, "not V2"],
    [
      "a datatype that is none",
      (s) => s.write({ inferResponse: { outputs: [{ name: "t", datatype: "TEXT", shape: [1] }] } }),
      502,
      "TEXT",
    ],
    [
      "raw contents too many",
      (s) => s.write({ inferResponse: { rawOutputContents: [Buffer.from("x")] } }),
      502,
      "1 raw contents",
    ],
  ];
  it.each(faults)("maps %s", async (_what, answer, status, words) => {
    expect(await ask(answer)).toMatchObject({ status, text: expect.stringContaining(words) });
  });

  it("says so when it is not ready, breaks off, or is not there", async () => {
    const upstream = await FakeUpstream.start((stream) => {
      stream.write(textAnswer("text_output", "one"), () => upstream[Symbol.dispose]());
    });
    await using own = await gatewayTo(upstream.address);
    const ready = await fetch(`${own.url}/v2/health/ready`);
    expect([ready.status, await ready.json()]).toEqual([
      503,
      { error: expect.stringContaining("not ready") },
    ]);
    using reader = new EventReader(`${own.url}/v2/models/m/stream?prompt=a`);
    const { events } = await reader.ended();
    expect(events.at(-1)).toMatchObject({ event: "failure", data: expect.stringMatching(/UPSTREAM/) });
    const gone = await fetch(`${own.url}/v2/models/m/stream?prompt=a`);
    expect([gone.status, await gone.json()]).toEqual([
      503,
      { error: expect.stringContaining(`${upstream.address} cannot be reached`) },
    ]);
    expect((await fetch(`${own.url}/v2/health/ready`)).status).toBe(503);
  });
});

describe("a gateway that stops", () => {
  it("lets streams end, resumable or not, and ends with a failure those that take too long", async () => {
    const stopping = await gatewayTo(`127.0.0.1:${served.server.running.grpc.port}`, {
      drain_timeout: "300ms",
    });
    const queries = ["prompt=slow", "prompt=slow&resume=1", "prompt=forever", "prompt=forever&resume=1"];
    const readers = queries.map(
      (query) => new EventReader(`${stopping.url}/v2/models/scripted/stream?${query}`),
    );
    await Promise.all(readers.map((reader) => reader.atLeast(1)));
    await stopping.close();
    const ends = await Promise.all(readers.map((reader) => reader.ended()));
    expect(ends.map(({ events }) => events.at(-1)?.event)).toEqual(["done", "done", "failure", "failure"]);
    expect(ends.map(({ events }) => events.filter(({ event }) => event !== "token"))).toEqual(
      ends.map(() => [expect.anything()]),
    );
  });

  it("does not wait for a client that cannot come back", async () => {
    const before = script.aborted;
    const stopping = await gatewayTo(`127.0.0.1:${served.server.running.grpc.port}`);
    using reader = new EventReader(`${stopping.url}/v2/models/scripted/stream?prompt=forever&resume=1`);
    await reader.atLeast(1);
    reader.leave();
    await reader.ended();
    await new Promise((resolve) => setTimeout(resolve, 50));
    await stopping.close();
    await eventually(() => script.aborted === before + 1);
  });
});
