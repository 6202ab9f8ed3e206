import { createServer } from "node:net";
import { describe, expect, it } from "vitest";
import type { ErrorCode } from "../../src/contracts/index.ts";
import { collect, testCall } from "../../src/testing/index.ts";
import { hello, hosts, KEY, load, read, readUntilFault, says } from "../support/openai-adapter.ts";
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
        idle_timeout: "300ms",
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
  it("are not waited for where the connection is refused", async () => {
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
    const words = Array.from({ length: 210 }, () => "w");
    await using upstream = await OpenaiUpstream.start(chat(...words));
    await using llm = await load({
      base_url: upstream.origin,
      upstream_timeout: "1s",
      idle_timeout: "1s",
    });
    expect(await read(llm)).toBe(words.join(""));
  });

  it("do not cut a tool call that is being written", async () => {
    const piece = chunk({ tool_calls: [{ index: 0, id: "a", function: { name: "f", arguments: " " } }] });
    const pieces = Array.from({ length: 210 }, () => piece);
    await using upstream = await OpenaiUpstream.start(packets(...pieces, chunk({}, "tool_calls"), DONE));
    await using llm = await load({
      base_url: upstream.origin,
      upstream_timeout: "1s",
      idle_timeout: "1s",
    });
    const parts = await collect(llm.streamTokens(hello, testCall()));
    expect(parts.map(({ type }) => type)).toEqual(["tool-call", "finish"]);
  });

  it("do not count the time a slow reader takes", async () => {
    await using upstream = await OpenaiUpstream.start(chat("a", "b", "c"));
    await using llm = await load({ base_url: upstream.origin, idle_timeout: "200ms" });
    let words = "";
    for await (const part of llm.streamTokens(hello, testCall())) {
      if (part.type === "text") words += part.text;
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
    expect(words).toBe("abc");
  });
});
