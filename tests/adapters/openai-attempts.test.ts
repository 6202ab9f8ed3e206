import { describe, expect, it } from "vitest";
import type { ModelClient } from "../../src/contracts/index.ts";
import { collect, testCall, testHost } from "../../src/testing/index.ts";
import { eventually } from "../support/eventually.ts";
import {
  abortable,
  fails,
  hello,
  hosts,
  inTurn,
  KEY,
  load,
  loggedCall,
  read,
  readUntilFault,
  says,
} from "../support/openai-adapter.ts";
import {
  type Answer,
  chat,
  chunk,
  cut,
  DONE,
  EVENT_STREAM,
  OpenaiUpstream,
  reply,
  stalls,
  write,
} from "../support/openai-upstream.ts";

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
  const breaker = { failures: 2, cooldown: "600ms" };

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
    await new Promise((resolve) => setTimeout(resolve, 610));
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
    await new Promise((resolve) => setTimeout(resolve, 610));
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
