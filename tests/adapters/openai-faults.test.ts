import { createServer } from "node:net";
import { describe, expect, it } from "vitest";
import openai from "../../adapters/openai/index.ts";
import type {
  Call,
  CapLLM,
  ChatRequest,
  ErrorCode,
  Host,
  ModelClient,
  Part,
} from "../../src/contracts/index.ts";
import { collect, testCall, testHost } from "../../src/testing/index.ts";
import { eventually } from "../support/eventually.ts";
import {
  type Answer,
  chat,
  chunk,
  cut,
  DONE,
  EVENT_STREAM,
  event,
  OpenaiUpstream,
  packets,
  reply,
  stalls,
  write,
} from "../support/openai-upstream.ts";

const KEY = "sk-very-secret-key";
const spec = { name: "gpt", version: "1", folder: "/nowhere" };
const hello: ChatRequest = { messages: [{ role: "user", content: "hello" }], sampling: {} };

async function load(options: Record<string, unknown>, host: Host = testHost()): Promise<CapLLM> {
  const parsed = openai.options.safeParse({ api_key: KEY, max_retries: 0, ...options });
  if (!parsed.success) throw new Error(JSON.stringify(parsed.error.issues));
  return openai.load(spec, parsed.data, host, testCall());
}

const text = (parts: readonly Part[]) =>
  parts.map((part) => (part.type === "text" ? part.text : "")).join("");

async function read(llm: CapLLM, call = testCall()): Promise<string> {
  return text(await collect(llm.streamTokens(hello, call)));
}

/** The parts until the stream fails, and how it fails. */
async function readUntilFault(llm: CapLLM, call = testCall()) {
  const parts: Part[] = [];
  try {
    for await (const part of llm.streamTokens(hello, call)) parts.push(part);
  } catch (fault) {
    return { text: text(parts), fault: fault as Error & { code: ErrorCode; retryAfterMs?: number } };
  }
  throw new Error("the stream did not fail");
}

/** Gives one answer after the other, and the last one again. */
function inTurn(...answers: readonly Answer[]): Answer {
  let turn = 0;
  return (response, request) => answers[Math.min(turn++, answers.length - 1)]!(response, request);
}

function abortable(): { call: Call; abort: () => void; reason: Error } {
  const controller = new AbortController();
  const reason = new Error("gone");
  return { call: testCall({ signal: controller.signal }), abort: () => controller.abort(reason), reason };
}

/** A log that keeps what it is told. */
function loggedCall() {
  const lines: { fields: Record<string, unknown>; message: string }[] = [];
  const add = (fields: object, message: string) => {
    lines.push({ fields: { ...fields }, message });
  };
  return { call: testCall({ log: { debug: add, info: add, warn: add, error: add } }), lines };
}

const hosts = (models: Record<string, Partial<ModelClient>>): Host =>
  testHost({ model: (name) => models[name] as ModelClient });

const says = (...words: readonly string[]): Partial<ModelClient> => ({
  async *chat() {
    for (const word of words) yield { type: "text", choice: 0, text: word } as const;
    const usage = { inputTokens: 1, outputTokens: words.length };
    yield { type: "finish", choice: 0, reason: "stop", usage } as const;
  },
});

const fails = (code: string): Partial<ModelClient> => ({
  // biome-ignore lint/correctness/useYield: it fails before its first part
  async *chat() {
    throw Object.assign(new Error(`fallback ${code}`), { code });
  },
});

describe("a status of the upstream", () => {
  const error = (message: string, more = {}) => ({ error: { message, ...more } });
  it.each<[number, unknown, ErrorCode, string]>([
    [400, error("too long", { param: "messages" }), "INVALID_ARGUMENT", "too long"],
    [404, error("no such model"), "NOT_FOUND", "no such model"],
    [405, { detail: "Method Not Allowed" }, "UNSUPPORTED", "Method Not Allowed"],
    [413, "too large", "TOO_LARGE", "too large"],
    [
      422,
      { detail: [{ loc: ["body", "n"], msg: "not a number", input: 1 }] },
      "INVALID_ARGUMENT",
      "body.n: not a number",
    ],
    [429, error("slow down"), "RATE_LIMITED", "slow down"],
    [401, error(`Incorrect API key provided: ${KEY}`), "UPSTREAM", "credentials"],
    [403, error(`key ${KEY.slice(0, 8)}*** may not`), "UPSTREAM", "credentials"],
    [302, "", "UPSTREAM", "no message"],
    [500, error(`key ${KEY} crashed`), "UPSTREAM", "key *** crashed"],
    [502, "<html>Bad Gateway</html>", "UPSTREAM", "a page that is not an OpenAI error"],
    [503, { message: "loading model" }, "UPSTREAM", "loading model"],
    [504, { error: "late" }, "DEADLINE_EXCEEDED", "late"],
  ])("%i with %j is %s", async (status, body, code, message) => {
    await using upstream = await OpenaiUpstream.start(reply(status, body));
    await using llm = await load({ base_url: upstream.origin });
    const { fault } = await readUntilFault(llm);
    expect(fault.code).toBe(code);
    expect(fault.message).toContain(`upstream ${upstream.origin}/v1 answered ${status}`);
    expect(fault.message).toContain(message);
    expect(fault.message).not.toContain(KEY.slice(0, 8));
    await expect(llm.predictText!(hello, testCall())).rejects.toMatchObject({ code });
  });

  it.each([
    ["seconds", { "retry-after": "7" }, 7000],
    ["milliseconds", { "retry-after-ms": "1500", "retry-after": "9" }, 1500],
    ["a past date", { "retry-after": "Wed, 21 Oct 2015 07:28:00 GMT" }, 0],
    ["nonsense", { "retry-after": "soon" }, undefined],
  ])("429 says when to come back, in %s", async (_what, headers, retryAfterMs) => {
    await using upstream = await OpenaiUpstream.start(reply(429, error("slow down"), headers));
    await using llm = await load({ base_url: upstream.origin });
    const { fault } = await readUntilFault(llm);
    expect(fault).toMatchObject({ code: "RATE_LIMITED", retryAfterMs });
  });

  it("names the field at fault", async () => {
    await using upstream = await OpenaiUpstream.start(reply(400, error("bad", { param: "stop" })));
    await using llm = await load({ base_url: upstream.origin });
    expect((await readUntilFault(llm)).fault).toMatchObject({ param: "stop" });
  });

  it("does not repeat a key that is a header", async () => {
    await using upstream = await OpenaiUpstream.start(reply(500, error("token hush-hush-1 failed")));
    await using llm = await load({
      base_url: upstream.origin,
      headers: { authorization: "Basic hush-hush-1" },
    });
    expect((await readUntilFault(llm)).fault.message).toContain("token *** failed");
  });
});

describe("a stream", () => {
  const word = chunk({ content: "one" });
  const good = word + chunk({ content: " two" }, "stop");
  it.each<[string, Answer]>([
    ["without [DONE]", packets(good)],
    ["cut after its last finish reason", cut(good)],
    ["with comments and CRLF", packets(": ping\n\n", good.replaceAll("\n", "\r\n"), DONE)],
    ["with an unknown content type", (response) => response.end(good)],
    [
      "with events after [DONE]",
      packets(good + DONE + chunk({ content: "more" }) + event({ error: "late" })),
    ],
  ])("%s is an answer", async (_what, answer) => {
    await using upstream = await OpenaiUpstream.start(answer);
    await using llm = await load({ base_url: upstream.origin });
    expect(await read(llm)).toBe("one two");
  });

  it("may be cut anywhere by packets, within a character too", async () => {
    const bytes = Buffer.from(chunk({ content: "日本 😀" }) + chunk({}, "stop") + DONE);
    const pieces = Array.from({ length: Math.ceil(bytes.length / 7) }, (_, at) =>
      bytes.subarray(at * 7, at * 7 + 7),
    );
    await using upstream = await OpenaiUpstream.start(packets(...pieces));
    await using llm = await load({ base_url: upstream.origin });
    expect(await read(llm)).toBe("日本 😀");
  });

  it.each<[string, Answer, ErrorCode, string]>([
    ["is a page", reply(200, "<html>login</html>"), "UPSTREAM", "text/html"],
    ["is JSON that is no answer", reply(200, { hello: "there" }), "UPSTREAM", "no list of choices"],
    ["has no events", packets("hello\n\n"), "UPSTREAM", "ended before"],
    ["has events that are not JSON", packets("data: {oops\n\n"), "UPSTREAM", "not a JSON object"],
    ["is cut before its first token", cut(chunk({ role: "assistant" })), "UPSTREAM", "broke the connection"],
    [
      "begins with an error",
      packets(event({ error: { message: "too long", code: 400 } })),
      "INVALID_ARGUMENT",
      "too long",
    ],
    [
      "begins with an error of a known type",
      packets(event({ error: { message: "x", type: "rate_limit_error" } })),
      "RATE_LIMITED",
      "x",
    ],
    [
      "begins with an error of its own",
      packets(event({ object: "error", message: "boom" })),
      "UPSTREAM",
      "boom",
    ],
    ["has an event named error", packets('event: error\ndata: {"message":"boom"}\n\n'), "UPSTREAM", "boom"],
    ["finishes with an error", packets(chunk({}, "error")), "UPSTREAM", "finish reason 'error'"],
  ])("that %s fails", async (_what, answer, code, message) => {
    await using upstream = await OpenaiUpstream.start(answer);
    await using llm = await load({ base_url: upstream.origin });
    const { fault } = await readUntilFault(llm);
    expect(fault.code).toBe(code);
    expect(fault.message).toContain(message);
  });

  it.each<[string, Answer, ErrorCode]>([
    ["cut", cut(word), "UPSTREAM"],
    ["ended without a finish reason", packets(word), "UPSTREAM"],
    [
      "an error in the same packet",
      packets(word + event({ error: { message: "out of memory" } })),
      "UPSTREAM",
    ],
    ["no JSON", packets(word, "data: <html>\n\n"), "UPSTREAM"],
    ["silence", stalls(word), "DEADLINE_EXCEEDED"],
  ])(
    "that fails after its first token (%s) has given it, and is not asked for again",
    async (_what, answer, code) => {
      await using upstream = await OpenaiUpstream.start(answer);
      const options = {
        base_url: upstream.origin,
        max_retries: 3,
        idle_timeout: "40ms",
        fallbacks: ["other"],
      };
      await using llm = await load(options, hosts({ other: says("never") }));
      expect(await readUntilFault(llm)).toMatchObject({ text: "one", fault: { code } });
      expect(upstream.requests).toHaveLength(1);
      await upstream.idle();
    },
  );
});

describe("time limits", () => {
  it("end the wait for a connection", async () => {
    const full = createServer();
    await new Promise<void>((resolve) => full.listen(0, "127.0.0.1", resolve));
    const { port } = full.address() as { port: number };
    await new Promise((resolve) => full.close(resolve));
    await using llm = await load({ base_url: `http://127.0.0.1:${port}` });
    const { fault } = await readUntilFault(llm);
    expect(fault.code).toBe("UPSTREAM");
    expect(fault.message).toContain("cannot be reached");
  });

  it.each<[string, Answer]>([
    ["says nothing", stalls()],
    ["only opens", stalls(chunk({ role: "assistant" }))],
    [
      "only sends comments",
      async (response) => {
        response.writeHead(200, EVENT_STREAM);
        while (!response.destroyed) await write(response, ": ping\n\n");
      },
    ],
  ])("end the wait for the first token of an upstream that %s", async (_what, answer) => {
    await using upstream = await OpenaiUpstream.start(answer);
    await using llm = await load({ base_url: upstream.origin, upstream_timeout: "60ms", max_retries: 3 });
    const { fault } = await readUntilFault(llm);
    expect(fault.code).toBe("DEADLINE_EXCEEDED");
    expect(fault.message).toContain("no first token within 60 ms; raise upstream_timeout");
    expect(upstream.requests).toHaveLength(1);
    await upstream.idle();
    expect(upstream.left).toBe(1);
  });

  it("end the wait for a whole answer", async () => {
    await using upstream = await OpenaiUpstream.start(stalls());
    await using llm = await load({ base_url: upstream.origin, upstream_timeout: "30ms" });
    await expect(llm.predictText!(hello, testCall())).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    await upstream.idle();
  });

  it("do not cut a stream that is alive", async () => {
    const words = Array.from({ length: 30 }, () => "w");
    await using upstream = await OpenaiUpstream.start(chat(...words));
    await using llm = await load({
      base_url: upstream.origin,
      upstream_timeout: "100ms",
      idle_timeout: "100ms",
    });
    expect(await read(llm)).toBe(words.join(""));
  });

  it("do not cut a tool call that is being written", async () => {
    const piece = chunk({ tool_calls: [{ index: 0, id: "a", function: { name: "f", arguments: " " } }] });
    const pieces = Array.from({ length: 30 }, () => piece);
    await using upstream = await OpenaiUpstream.start(packets(...pieces, chunk({}, "tool_calls"), DONE));
    await using llm = await load({
      base_url: upstream.origin,
      upstream_timeout: "100ms",
      idle_timeout: "100ms",
    });
    const parts = await collect(llm.streamTokens(hello, testCall()));
    expect(parts.map(({ type }) => type)).toEqual(["tool-call", "finish"]);
  });

  it("do not count the time a slow reader takes", async () => {
    await using upstream = await OpenaiUpstream.start(chat("a", "b", "c"));
    await using llm = await load({ base_url: upstream.origin, idle_timeout: "40ms" });
    let words = "";
    for await (const part of llm.streamTokens(hello, testCall())) {
      if (part.type === "text") words += part.text;
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    expect(words).toBe("abc");
  });
});

describe("a caller who leaves", () => {
  it.each(["streamTokens", "predictText", "embed"] as const)(
    "closes the connection of %s at once",
    async (method) => {
      await using upstream = await OpenaiUpstream.start(stalls());
      await using llm = await load({ base_url: upstream.origin, max_retries: 3 });
      const { call, abort, reason } = abortable();
      const ask = {
        streamTokens: () => collect(llm.streamTokens(hello, call)),
        predictText: () => llm.predictText!(hello, call),
        embed: () => llm.embed!(["a"], call),
      };
      const work = ask[method]();
      await eventually(() => upstream.requests.length === 1);
      abort();
      await expect(work).rejects.toBe(reason);
      await upstream.idle();
      expect(upstream.left).toBe(1);
      expect(upstream.requests).toHaveLength(1);
    },
  );

  it("closes the connection of a stream that flows", async () => {
    await using upstream = await OpenaiUpstream.start(stalls(chunk({ content: "one" })));
    await using llm = await load({ base_url: upstream.origin });
    for await (const part of llm.streamTokens(hello, testCall())) if (part.type === "text") break;
    await upstream.idle();
    expect(upstream.left).toBe(1);
  });

  it("does not wait for the next attempt", async () => {
    await using upstream = await OpenaiUpstream.start(reply(503, {}, { "retry-after": "50" }));
    await using llm = await load({ base_url: upstream.origin, max_retries: 1 });
    const { call, abort, reason } = abortable();
    const work = read(llm, call);
    await eventually(() => upstream.requests.length === 1 && upstream.open === 0);
    abort();
    await expect(work).rejects.toBe(reason);
  });

  it("leaves connections that can be used again after complete answers", async () => {
    await using upstream = await OpenaiUpstream.start();
    const ports = new Set<unknown>();
    const answer = upstream.answer;
    upstream.answer = (response, request) => {
      ports.add(response.socket?.remotePort);
      return answer(response, request);
    };
    await using llm = await load({ base_url: upstream.origin });
    for (let turn = 0; turn < 10; turn += 1) await read(llm);
    await upstream.idle();
    expect(upstream.left).toBe(0);
    expect(ports.size).toBeLessThan(5);
  });

  it.each([
    ["waits for the end of an answer", true, 0],
    ["does not wait for ever", false, 1],
  ])("%s after [DONE]", async (_what, ends, left) => {
    await using upstream = await OpenaiUpstream.start(async (response) => {
      response.writeHead(200, EVENT_STREAM);
      await write(response, chunk({ content: "one" }, "stop") + DONE);
      await write(response, ": bye\n\n");
      if (ends) response.end();
    });
    await using llm = await load({ base_url: upstream.origin });
    expect(await read(llm)).toBe("one");
    await upstream.idle();
    expect(upstream.left).toBe(left);
  });
});

describe("another attempt", () => {
  it.each<[string, Answer]>([
    ["429", reply(429, {}, { "retry-after-ms": "1" })],
    ["500", reply(500, {}, { "retry-after-ms": "1" })],
    ["a cut before the first token", cut(chunk({ role: "assistant" }))],
    ["a closed connection", (response) => response.destroy()],
  ])("is made after %s", async (_what, answer) => {
    await using upstream = await OpenaiUpstream.start(inTurn(answer, chat("well")));
    await using llm = await load({ base_url: upstream.origin, max_retries: 1 });
    const { call, lines } = loggedCall();
    expect(await read(llm, call)).toBe("well");
    const asked = { model: "gpt", upstream: `${upstream.origin}/v1`, timeout_ms: 60_000 };
    expect(lines.map(({ fields }) => fields)).toMatchObject([asked, asked, asked]);
    expect(JSON.stringify(lines)).not.toContain(KEY);
  });

  it.each<[string, Answer]>([
    ["400", reply(400, {})],
    ["a spent quota", reply(429, { error: { code: "insufficient_quota", message: "pay" } })],
    ["a rest that is longer than the limit", reply(429, {}, { "retry-after": "3600" })],
  ])("is not made after %s", async (_what, answer) => {
    await using upstream = await OpenaiUpstream.start(inTurn(answer, chat("well")));
    await using llm = await load({ base_url: upstream.origin, max_retries: 3 });
    await readUntilFault(llm);
    expect(upstream.requests).toHaveLength(1);
  });

  it("is not made when the caller would not be there any more", async () => {
    await using upstream = await OpenaiUpstream.start(reply(429, {}, { "retry-after": "20" }));
    await using llm = await load({ base_url: upstream.origin, max_retries: 3 });
    const { fault } = await readUntilFault(llm, testCall({ deadline: Date.now() + 10_000 }));
    expect(fault.code).toBe("RATE_LIMITED");
  });

  it("is made as often as max_retries says", async () => {
    await using upstream = await OpenaiUpstream.start(reply(500, {}, { "retry-after-ms": "1" }));
    await using llm = await load({ base_url: upstream.origin, max_retries: 3 });
    await readUntilFault(llm);
    expect(upstream.requests).toHaveLength(4);
  });

  it("goes to another address", async () => {
    await using bad = await OpenaiUpstream.start(reply(503, {}));
    await using good = await OpenaiUpstream.start(chat("well"));
    await using llm = await load({ base_url: [bad.origin, good.origin], max_retries: 1 });
    for (let turn = 0; turn < 4; turn += 1) expect(await read(llm)).toBe("well");
    expect(bad.requests).toHaveLength(1);
    expect(good.requests).toHaveLength(4);
  });
});

describe("several addresses", () => {
  it("share the load", async () => {
    await using one = await OpenaiUpstream.start(stalls());
    await using two = await OpenaiUpstream.start(stalls());
    await using llm = await load({ base_url: [one.origin, two.origin] });
    const { call, abort } = abortable();
    const work = Promise.allSettled([1, 2, 3, 4].map(() => collect(llm.streamTokens(hello, call))));
    await eventually(() => one.open === 2 && two.open === 2);
    abort();
    expect((await work).map(({ status }) => status)).toEqual(Array(4).fill("rejected"));
  });
});

describe("the circuit breaker", () => {
  const breaker = { failures: 2, cooldown: "150ms" };

  it("leaves a failing address alone, asks once after a while, and goes back to it", async () => {
    await using upstream = await OpenaiUpstream.start(reply(500, {}));
    await using llm = await load({ base_url: upstream.origin, circuit_breaker: breaker });
    await readUntilFault(llm);
    await readUntilFault(llm);
    const { fault } = await readUntilFault(llm);
    expect(fault).toMatchObject({ code: "UPSTREAM" });
    expect(fault.message).toMatch(/left alone; it is asked again in \d+ ms/);
    expect(upstream.requests).toHaveLength(2);

    let release = () => {};
    upstream.answer = async (response, request) => {
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      await chat("well")(response, request);
    };
    await new Promise((resolve) => setTimeout(resolve, 160));
    const probe = read(llm);
    await eventually(() => upstream.requests.length === 3);
    expect((await readUntilFault(llm)).fault.message).toContain("left alone");
    release();
    expect(await probe).toBe("well");
    upstream.answer = chat("again");
    expect(await read(llm)).toBe("again");
  });

  it("lets another request try when the one that tried was left", async () => {
    await using upstream = await OpenaiUpstream.start(reply(500, {}));
    await using llm = await load({ base_url: upstream.origin, circuit_breaker: { ...breaker, failures: 1 } });
    await readUntilFault(llm);
    upstream.answer = stalls();
    await new Promise((resolve) => setTimeout(resolve, 160));
    const { call, abort, reason } = abortable();
    const probe = read(llm, call);
    await eventually(() => upstream.requests.length === 2);
    abort();
    await expect(probe).rejects.toBe(reason);
    upstream.answer = chat("well");
    expect(await read(llm)).toBe("well");
  });

  it("does not count what is the request's fault", async () => {
    await using upstream = await OpenaiUpstream.start(reply(400, {}));
    await using llm = await load({ base_url: upstream.origin, circuit_breaker: { ...breaker, failures: 1 } });
    for (let turn = 0; turn < 3; turn += 1) await readUntilFault(llm);
    expect(upstream.requests).toHaveLength(3);
  });
});

describe("fallbacks", () => {
  it.each<[string, Answer]>([
    ["UPSTREAM", reply(500, {})],
    ["RATE_LIMITED", reply(429, {})],
    ["DEADLINE_EXCEEDED", stalls()],
  ])("answer after %s", async (_code, answer) => {
    await using upstream = await OpenaiUpstream.start(answer);
    const options = { base_url: upstream.origin, upstream_timeout: "50ms", fallbacks: ["first", "second"] };
    await using llm = await load(options, hosts({ first: fails("UPSTREAM"), second: says("plan", " B") }));
    const { call, lines } = loggedCall();
    expect(await read(llm, call)).toBe("plan B");
    expect(lines.at(-1)!.fields).toMatchObject({ model: "gpt", fallback: "second" });
    const { choices, usage } = await llm.predictText!(hello, testCall());
    expect(choices).toEqual([{ text: "plan B", toolCalls: [], reason: "stop" }]);
    expect(usage).toEqual({ inputTokens: 1, outputTokens: 2 });
  });

  it("do not answer what is the request's fault", async () => {
    await using upstream = await OpenaiUpstream.start(reply(400, {}));
    await using llm = await load(
      { base_url: upstream.origin, fallbacks: ["other"] },
      hosts({ other: says("no") }),
    );
    expect((await readUntilFault(llm)).fault.code).toBe("INVALID_ARGUMENT");
  });

  it("leave the upstream's own fault when none of them answers", async () => {
    await using upstream = await OpenaiUpstream.start(reply(503, { message: "busy" }));
    const options = { base_url: upstream.origin, fallbacks: ["other"] };
    await using llm = await load(options, hosts({ other: fails("INVALID_ARGUMENT") }));
    expect((await readUntilFault(llm)).fault.message).toContain("busy");
  });

  it("fail as they fail after their first part", async () => {
    await using upstream = await OpenaiUpstream.start(reply(503, {}));
    const breaks: Partial<ModelClient> = {
      async *chat() {
        yield { type: "text", choice: 0, text: "plan" };
        throw new Error("plan B broke");
      },
    };
    await using llm = await load(
      { base_url: upstream.origin, fallbacks: ["other"] },
      hosts({ other: breaks }),
    );
    expect(await readUntilFault(llm)).toMatchObject({ text: "plan", fault: { message: "plan B broke" } });
  });

  it("do not load in a cycle", async () => {
    const host = testHost({
      model: () => {
        throw new Error("cycle");
      },
    });
    await expect(load({ base_url: "http://h", fallbacks: ["gpt"] }, host)).rejects.toThrow("cycle");
  });
});

it("is NOT_READY once it is disposed", async () => {
  await using upstream = await OpenaiUpstream.start(stalls(chunk({ content: "one" })));
  const llm = await load({ base_url: upstream.origin });
  const parts = llm.streamTokens(hello, testCall())[Symbol.asyncIterator]();
  await parts.next();
  const next = parts.next();
  const failed = expect(next).rejects.toMatchObject({ code: "NOT_READY" });
  await llm[Symbol.asyncDispose]();
  await failed;
  expect((await readUntilFault(llm)).fault.code).toBe("NOT_READY");
});
