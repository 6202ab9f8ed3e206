import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Tickets, TicketsInProcess } from "../../src/host/streams/tickets.ts";
import { type LlmServer, serveLlms } from "../support/scripted-llm.ts";
import { FakeUpstream, FINAL, textAnswer } from "./fake-upstream.ts";
import { answerOf, EventReader, gatewayTo, type TestGateway } from "./support.ts";

let served: LlmServer;
let gateway: TestGateway;
let upstream: FakeUpstream;
beforeAll(async () => {
  served = await serveLlms();
  upstream = await FakeUpstream.start((stream) => {
    stream.write(textAnswer("text_output", "one"));
    stream.write(FINAL);
  });
  gateway = await gatewayTo(upstream.address);
});
afterAll(async () => {
  await gateway.close();
  upstream[Symbol.dispose]();
  await served[Symbol.asyncDispose]();
});

async function ticketFor(stream: string, body?: unknown, headers: Record<string, string> = {}) {
  const sent = body === undefined ? {} : { body: JSON.stringify(body) };
  const json = { "content-type": "application/json", ...headers };
  const answer = await fetch(`${stream}/tickets`, { method: "POST", headers: json, ...sent });
  expect(answer.status).toBe(200);
  expect(answer.headers.get("cache-control")).toBe("no-store");
  const { ticket, expires_in } = (await answer.json()) as { ticket: string; expires_in: number };
  expect([ticket, expires_in]).toEqual([expect.stringMatching(/^[\w-]{43}$/), 60]);
  return ticket;
}
async function read(url: string, headers: Record<string, string> = {}) {
  using reader = new EventReader(url, { headers });
  return { ...(await reader.ended()), text: reader.text };
}

describe("a ticket", () => {
  it("is good once, for its model", async () => {
    const stream = `${served.server.url}/v2/models/echo/stream`;
    const ticket = await ticketFor(stream);
    const first = await read(`${stream}?prompt=a&ticket=${ticket}`);
    expect(answerOf(first.events)).toBe("Echo: a");
    expect(await read(`${stream}?prompt=a&ticket=${ticket}`)).toMatchObject({
      status: 401,
      text: expect.stringMatching(/unknown, used or expired/),
    });
    const other = await ticketFor(stream);
    const scripted = `${served.server.url}/v2/models/scripted/stream?prompt=slow&ticket=${other}`;
    expect(await read(scripted)).toMatchObject({ status: 403, text: expect.stringContaining("echo") });
  });

  it.each([
    ["a text", { text_input: "of the ticket" }],
    [
      "an inference request",
      { inputs: [{ name: "text_input", shape: [1], datatype: "BYTES", data: ["of the ticket"] }] },
    ],
  ])("carries %s", async (_what, body) => {
    const stream = `${served.server.url}/v2/models/echo/stream`;
    const { events } = await read(`${stream}?ticket=${await ticketFor(stream, body)}`);
    expect(answerOf(events)).toBe("Echo: of the ticket");
  });

  it("needs a prompt when it carries none", async () => {
    const stream = `${served.server.url}/v2/models/echo/stream`;
    expect(await read(`${stream}?ticket=${await ticketFor(stream, {})}`)).toMatchObject({ status: 400 });
  });

  const faults: [string, string, unknown, number][] = [
    ["a body that is no request", "echo", { text: "a" }, 400],
    ["parameters that are none", "echo", { text_input: "a", parameters: 5 }, 400],
    ["a body that is too large", "echo", { text_input: "a".repeat(300_000) }, 413],
    ["an unknown model", "none", {}, 404],
  ];
  it.each(faults)("is refused for %s", async (_what, model, body, status) => {
    const answer = await served.server.post(`/v2/models/${model}/stream/tickets`, body);
    expect(answer).toEqual({ status, body: { error: expect.any(String) } });
  });

  it("carries the credential of who made it to the server behind", async () => {
    const stream = `${gateway.url}/v2/models/m/stream`;
    const headers = { authorization: "Bearer secret", "x-api-key": "k" };
    const ticket = await ticketFor(stream, { text_input: "a" }, headers);
    await read(`${stream}?ticket=${ticket}`, { authorization: "Bearer another" });
    expect(upstream.seen.at(-1)!.metadata.getMap()).toMatchObject(headers);
  });

  it("is good for who comes back to the stream that it began", async () => {
    const stream = `${gateway.url}/v2/models/m/stream`;
    const credential = { authorization: "Bearer mine" };
    const ticket = await ticketFor(stream, undefined, credential);
    const url = `${stream}?prompt=a&resume=1&ticket=${ticket}`;
    const { events } = await read(url);
    const after = { "last-event-id": events[0]!.id! };
    expect((await read(url, after)).events).toEqual(events.slice(1));
    expect((await read(`${stream}?prompt=a&resume=1`, { ...credential, ...after })).events).toEqual(
      events.slice(1),
    );
    const other = await ticketFor(stream);
    expect(await read(`${stream}?resume=1&ticket=${other}`, after)).toMatchObject({ status: 401 });
    expect((await read(`${stream}?resume=1`, after)).events[0]).toMatchObject({ event: "failure" });
  });
});

describe("a store of tickets", () => {
  it("refuses new ones when it is full, and forgets those that have expired", async () => {
    const store = new TicketsInProcess(1000);
    await store.put("a", "x".repeat(600), 5);
    await expect(store.put("b", "x".repeat(600), 5)).rejects.toMatchObject({
      code: "QUEUE_FULL",
      retryAfterMs: 60_000,
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await store.take("a")).toBeUndefined();
    await store.put("b", "x".repeat(600), 60_000);
    expect(await store.take("b")).toHaveLength(600);
  });

  it("holds nothing that can be read without the ticket", async () => {
    const kept = new Map<string, string>();
    const tickets = new Tickets({
      put: async (key, sealed) => void kept.set(key, sealed),
      take: async (key) => kept.get(key),
    });
    const credential = { authorization: "Bearer secret" };
    const ticket = await tickets.issue({ model: "m", credential });
    const stored = JSON.stringify([...kept].map(([key, sealed]) => [key, atob(sealed)]));
    expect(stored).not.toContain("secret");
    expect(stored).not.toContain(ticket);
    expect(await tickets.redeem(ticket)).toEqual({ model: "m", credential });
    expect(await tickets.redeem("another")).toBeUndefined();
  });
});
