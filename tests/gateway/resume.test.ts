import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { type LlmServer, script, serveLlms } from "../support/scripted-llm.ts";
import { dataOfEvent, EventReader, gatewayTo, type TestGateway } from "./support.ts";

const GRACE = { resume_grace: "400ms" };
const WORDS = "a b c d e f g h";

let served: LlmServer;
let gateway: TestGateway;
beforeAll(async () => {
  served = await serveLlms(GRACE);
  const llm = { name: "slow-echo", implementation: "llm" };
  await served.repository.write("slow-echo", {
    ...llm,
    parameters: { version: "1", extra: { framework: "echo", delay_ms: 30 } },
  });
  await served.server.post("/v2/repository/models/slow-echo/load");
  gateway = await gatewayTo(`127.0.0.1:${served.server.running.grpc.port}`, GRACE);
});
afterAll(async () => {
  await gateway.close();
  await served[Symbol.asyncDispose]();
});

describe.each(["server", "gateway"])("a stream of the %s that may be resumed", (where) => {
  const url = (model: string, query: string) =>
    `${where === "server" ? served.server.url : gateway.url}/v2/models/${model}/stream?${query}`;
  const slow = url.bind(undefined, "slow-echo");
  const ask = (text: string) => slow(`resume=1&prompt=${encodeURIComponent(text)}`);
  const whole = `Echo: ${WORDS}`;

  it("goes on after the last event that the client saw, without a gap or a double", async () => {
    using first = new EventReader(ask(WORDS));
    await first.atLeast(3);
    first.leave();
    const seen = first.events;
    expect(first.text).toMatch(/^retry: \d+\n/);
    using second = new EventReader(ask(WORDS), { headers: { "last-event-id": seen.at(-1)!.id! } });
    const { status, events } = await second.ended();
    expect(status).toBe(200);
    expect(first.answer + second.answer).toBe(whole);
    expect([...seen, ...events].map(({ id }) => id!.split(":")[1])).toEqual(
      Array.from({ length: 10 }, (_, index) => String(index + 1)),
    );
    expect(events.at(-1)).toMatchObject({ event: "done" });
  });

  it("takes the id from the query, too, and can be read again from any event", async () => {
    using first = new EventReader(ask("a b"));
    const { events } = await first.ended();
    const id = events[0]!.id!;
    const again = await (await fetch(`${ask("a b")}&last_event_id=${encodeURIComponent(id)}`)).text();
    expect(again).toMatch(/^: resumed\n\n/);
    using second = new EventReader(`${ask("a b")}&last_event_id=${encodeURIComponent(id)}`);
    expect((await second.ended()).events).toEqual(events.slice(1));
  });

  it("answers 204 after its end", async () => {
    using first = new EventReader(ask("a"));
    const last = (await first.ended()).events.at(-1)!;
    const again = await fetch(ask("a"), { headers: { "last-event-id": last.id! } });
    expect([again.status, await again.text()]).toEqual([204, ""]);
  });

  it("says once that it is lost, and then that there is nothing to come back for", async () => {
    const headers = { "last-event-id": "nobody:3" };
    using first = new EventReader(ask("a"), { headers });
    const { status, events } = await first.ended();
    expect([status, events]).toEqual([
      200,
      [{ event: "failure", id: "nobody:lost", data: expect.stringContaining("NOT_FOUND") }],
    ]);
    expect((await fetch(ask("a"), { headers: { "last-event-id": "nobody:lost" } })).status).toBe(204);
  });

  it.each(["", "x", "a b:1", "a:-1", "a:1x", `${"a".repeat(200)}:1`])("refuses the id '%s'", async (id) => {
    const answer = await fetch(`${ask("a")}&last_event_id=${encodeURIComponent(id)}`);
    expect(answer.status).toBe(id === "" ? 200 : 400);
    if (id !== "") expect(await answer.json()).toEqual({ error: expect.stringContaining("Last-Event-ID") });
    else await answer.text();
  });

  it("belongs to who began it, and to its model", async () => {
    using first = new EventReader(ask("a b"), { headers: { authorization: "Bearer mine" } });
    const id = (await first.ended()).events[0]!.id!;
    const asOther = async (target: string, authorization: string) => {
      using reader = new EventReader(target, { headers: { authorization, "last-event-id": id } });
      return (await reader.ended()).events[0]!;
    };
    expect(await asOther(ask("a b"), "Bearer yours")).toMatchObject({ id: expect.stringMatching(/:lost$/) });
    expect(await asOther(url("echo", "resume=1&prompt=a"), "Bearer mine")).toMatchObject({
      id: expect.stringMatching(/:lost$/),
    });
    expect(await asOther(ask("a b"), "Bearer mine")).toMatchObject({ event: "token" });
  });

  it("cannot be begun twice under one request id", async () => {
    using first = new EventReader(ask(WORDS), { headers: { "x-request-id": `twice-${where}` } });
    await first.atLeast(1);
    const second = await fetch(ask("b"), { headers: { "x-request-id": `twice-${where}` } });
    expect([second.status, await second.json()]).toEqual([
      400,
      { error: expect.stringContaining(`twice-${where}`) },
    ]);
  });

  it("is cancelled when nobody comes back in time", async () => {
    const before = script.aborted;
    const forever = url("scripted", "resume=1&prompt=forever");
    using first = new EventReader(forever);
    const [token] = await first.atLeast(1);
    first.leave();
    await eventually(() => script.aborted === before + 1);
    using late = new EventReader(forever, { headers: { "last-event-id": token!.id! } });
    const { events } = await late.ended();
    expect(events[0]).toMatchObject({ event: "failure", data: expect.stringMatching(/CANCELLED.*0\.4 s/) });
  });

  it("can be cancelled by its id while the client is away, and ends at its deadline", async () => {
    const forever = url("scripted", "resume=1&prompt=forever");
    const id = `cancelled-${where}`;
    const origin = where === "server" ? served.server.url : gateway.url;
    using first = new EventReader(forever, { headers: { "x-request-id": id } });
    await first.atLeast(1);
    first.leave();
    const before = script.aborted;
    expect((await fetch(`${origin}/v2/cancel/${id}`, { method: "POST" })).status).toBe(200);
    await eventually(() => script.aborted === before + 1);
    using second = new EventReader(forever, { headers: { "last-event-id": `${id}:1` } });
    expect((await second.ended()).events[0]).toMatchObject({ data: expect.stringContaining("CANCELLED") });
    using timed = new EventReader(forever, { headers: { "x-request-timeout-ms": "100" } });
    expect((await timed.ended()).events.at(-1)).toMatchObject({
      event: "failure",
      data: expect.stringContaining("DEADLINE_EXCEEDED"),
    });
  });

  it("is refused with a status as long as there is no token, and ends with a failure afterwards", async () => {
    const refused = await fetch(url("scripted", "resume=1&prompt=refuse"));
    expect([refused.status, await refused.json()]).toEqual([429, { error: "Come back later" }]);
    using broken = new EventReader(url("scripted", "resume=1&prompt=breaks"));
    expect((await broken.ended()).events.map(dataOfEvent)).toEqual([
      { text: "one" },
      { code: "UPSTREAM", error: "The upstream broke off" },
    ]);
  });

  it("can be asked for in a body", async () => {
    const post = { method: "POST", headers: { "content-type": "application/json" } };
    const text = { text_input: "a", parameters: { resume: true } };
    const tensors = {
      inputs: [{ name: "text_input", shape: [1], datatype: "BYTES", data: ["a"] }],
      parameters: { resume: true },
    };
    for (const body of [text, tensors]) {
      using reader = new EventReader(slow(""), { ...post, body: JSON.stringify(body) });
      const { events } = await reader.ended();
      expect(reader.text).toMatch(/^retry: /);
      const headers = { ...post.headers, "last-event-id": events[0]!.id! };
      using again = new EventReader(slow(""), { method: "POST", headers, body: JSON.stringify(body) });
      expect((await again.ended()).events).toEqual(events.slice(1));
    }
  });

  it("stops at once without resume, and is not begun again", async () => {
    const before = script.aborted;
    using reader = new EventReader(url("scripted", "prompt=forever"));
    const [token] = await reader.atLeast(1);
    reader.leave();
    await eventually(() => script.aborted === before + 1);
    const again = await fetch(url("scripted", "prompt=forever"), {
      headers: { "last-event-id": token!.id! },
    });
    expect(again.status).toBe(204);
  });

  it("makes the model wait when nobody reads", async () => {
    const { floods } = script;
    using reader = new EventReader(url("scripted", "resume=1&prompt=flood"));
    await reader.atLeast(1);
    reader.leave();
    await eventually(() => script.floods === floods + 1);
    expect(script.produced).toBeLessThan(2000);
  });
});
