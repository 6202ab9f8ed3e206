import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CapstanError, ERROR_TABLE, type ErrorCode } from "../../src/contracts/index.ts";
import { grpc } from "../../src/grpc/generated/health.js";
import { Health, LLMService } from "../../src/grpc/generated/services.ts";
import { eventually } from "../support/eventually.ts";
import { codeName, IDENTITY, serveGrpc, type TestGrpc } from "../support/grpc.ts";
import { FINISH, listening, speaking, text, untilAborted, user } from "../support/grpc-llm.ts";

const METHOD = LLMService.ChatCompletion;
const { model, asked } = listening();

/** Throws the error its user names. */
const throwing = speaking(async function* ({ messages }) {
  yield text("");
  throw new CapstanError(messages?.[0]?.content as ErrorCode, "The model says so", { retryAfterMs: 1500 });
});

let ended: unknown;
const hanging = speaking(async function* (_, call) {
  ended = undefined;
  yield text("on");
  await untilAborted(call).catch((reason) => {
    ended = reason;
    throw reason;
  });
});

let server: TestGrpc;
beforeAll(async () => {
  server = await serveGrpc({ tabular: IDENTITY, hello: model, throwing, hanging });
});
afterAll(() => server?.[Symbol.asyncDispose]());

const ask = (request: Parameters<typeof METHOD.requestSerialize>[0], settings = {}) =>
  server.client.unary(METHOD, request, settings);

async function refusal(request: Parameters<typeof METHOD.requestSerialize>[0], settings = {}) {
  const { code, details } = await ask(request, settings);
  return [codeName(code), details];
}

describe("ChatCompletion", () => {
  test("gives the whole answer with the model's version, its usage and the request's id", async () => {
    const headers = { "x-request-id": "r-1" };
    const { code, response, metadata } = await ask({ model: "hello", messages: user("Hi") }, { headers });
    expect(codeName(code)).toBe("OK");
    expect(response).toMatchObject({
      id: "r-1",
      model: "hello",
      modelVersion: "1",
      content: "Hello world",
      finishReason: "stop",
      usage: { promptTokens: 3, completionTokens: 2, totalTokens: 5 },
    });
    expect(response.latencyMs).toBeGreaterThan(0);
    expect(metadata["x-request-id"]).toBe("r-1");
  });

  test("hands everything on that was given", async () => {
    const messages = ["system", "user", "assistant", "tool"].map((role) => ({ role, content: `a ${role}` }));
    const seed = -(2n ** 53n - 1n);
    const given = { maxTokens: 7, temperature: 0.7, topP: 0.9, topK: 40, stop: ["\n", "end"] };
    await ask({ model: "hello", messages, ...given, seed, sessionId: "s-1" });
    expect(asked.at(-1)).toEqual({
      messages,
      sampling: { ...given, seed: Number(seed) },
      session: "s-1",
    });
  });

  test("tells a zero from what was not given", async () => {
    await ask({ model: "hello", messages: user(""), temperature: 0, maxTokens: 0, seed: 0 });
    expect(asked.at(-1)?.sampling).toEqual({ temperature: 0, maxTokens: 0, seed: 0 });
    await ask({ model: "hello", messages: user("") });
    expect(asked.at(-1)?.sampling).toEqual({});
  });

  test("takes the session from the metadata when the request has none", async () => {
    const headers = { "x-session-id": "s-2" };
    await ask({ model: "hello", messages: user("Hi") }, { headers });
    expect(asked.at(-1)?.session).toBe("s-2");
    await ask({ model: "hello", messages: user("Hi"), sessionId: "s-3" }, { headers });
    expect(asked.at(-1)?.session).toBe("s-3");
  });

  test("takes a prompt for a message of the user", async () => {
    await ask({ model: "hello", prompt: "Hi" });
    expect(asked.at(-1)).toMatchObject({ messages: user("Hi") });
    expect(asked.at(-1)?.prompt).toBeUndefined();
  });
});

describe("what is refused", () => {
  const messages = user("Hi");
  test.each([
    ["no question", {}, "no 'messages' and no 'prompt'"],
    ["two questions", { messages, prompt: "Hi" }, "not both"],
    ["an unknown role", { messages: [...messages, { role: "robot" }] }, 'messages[1].role is "robot"'],
    ["a seed that no number holds", { messages, seed: 2n ** 53n }, "9007199254740992"],
    ["a negative time limit", { messages, timeoutMs: -1 }, "'timeout_ms' is -1"],
    ["a name that is none", { messages, model: "../hello" }, "../hello"],
  ])("%s", async (_what, request, message) => {
    const given = await refusal({ model: "hello", ...request });
    expect(given).toEqual(["INVALID_ARGUMENT", expect.stringContaining(message)]);
  });

  test("bytes that are no request", async () => {
    const { code, details } = await server.client.unaryBytes(METHOD, Buffer.of(0x0a, 0xff));
    expect([codeName(code), details]).toEqual([
      "INVALID_ARGUMENT",
      expect.stringContaining("ChatCompletion is not valid protobuf"),
    ]);
  });

  test("a model that is unknown, or no language model", async () => {
    expect(await refusal({ model: "nobody", messages })).toEqual([
      "NOT_FOUND",
      expect.stringContaining("'nobody'"),
    ]);
    expect(await refusal({ model: "tabular", messages })).toEqual([
      "UNIMPLEMENTED",
      expect.stringContaining("'tabular' is not a language model"),
    ]);
  });

  test.each(Object.keys(ERROR_TABLE) as ErrorCode[])("%s has its own status", async (code) => {
    const reply = await ask({ model: "throwing", messages: user(code) });
    expect(reply.code).toBe(ERROR_TABLE[code].grpc);
    expect(reply.details).toMatch(code === "INTERNAL" ? /^Internal error/ : /^The model says so$/);
    expect(reply.metadata["grpc-retry-pushback-ms"]).toBe("1500");
  });
});

describe("a request that names no model", () => {
  const messages = user("Hi");

  test("goes to the only language model", async () => {
    await using one = await serveGrpc({ tabular: IDENTITY, only: model });
    const { response } = await one.client.unary(METHOD, { messages });
    expect([response.model, response.content]).toEqual(["only", "Hello world"]);
  });

  test("goes to default_model, which need not be there", async () => {
    const models = { hello: model, other: speaking(async function* () {}) };
    await using chosen = await serveGrpc(models, { default_model: "hello" });
    const { response } = await chosen.client.unary(METHOD, { messages });
    expect([response.model, response.content]).toEqual(["hello", "Hello world"]);
    await using absent = await serveGrpc(models, { default_model: "nobody" });
    expect(codeName((await absent.client.unary(METHOD, { messages })).code)).toBe("NOT_FOUND");
  });

  test("is refused with the names when there are several, and when there is none", async () => {
    const several = "'model' is missing, and there are hello, throwing, hanging: name one";
    expect(await refusal({ messages })).toEqual(["INVALID_ARGUMENT", expect.stringContaining(several)]);
    await using none = await serveGrpc();
    const { code, details } = await none.client.unary(METHOD, { messages });
    expect([codeName(code), details]).toEqual([
      "INVALID_ARGUMENT",
      expect.stringContaining("no language model is loaded"),
    ]);
  });
});

describe("the end of waiting stops the model", () => {
  const request = { model: "hanging", messages: user("Hi") };

  test("by the request's time limit", async () => {
    const given = await refusal({ ...request, timeoutMs: 60 });
    expect(given).toEqual(["DEADLINE_EXCEEDED", expect.stringContaining("deadline of 60 ms")]);
    expect(ended).toMatchObject({ code: "DEADLINE_EXCEEDED" });
  });

  test("by the call's own deadline, when that is first", async () => {
    const [code] = await refusal({ ...request, timeoutMs: 60_000 }, { deadlineMs: 150 });
    expect(code).toBe("DEADLINE_EXCEEDED");
    await eventually(() => ended !== undefined);
  });

  test("by cancelling", async () => {
    ended = "nothing yet";
    const call = server.client.raw.makeUnaryRequest(
      METHOD.path,
      METHOD.requestSerialize,
      METHOD.responseDeserialize,
      request,
      () => undefined,
    );
    await eventually(() => ended === undefined);
    call.cancel();
    await eventually(() => ended !== undefined);
    expect(ended).toMatchObject({ code: "CANCELLED" });
  });
});

test("an answer without an end is a fault of ours, and does not pass for an answer", async () => {
  const broken = speaking(async function* () {
    yield text("half");
  });
  await using one = await serveGrpc({ broken });
  const { code } = await one.client.unary(METHOD, { messages: user("Hi") });
  expect(codeName(code)).toBe("INTERNAL");
  expect(one.logged.filter(({ level }) => level === "error")).toHaveLength(1);
});

test("health knows the service", async () => {
  const { response } = await server.client.unary(Health.Check, { service: "capstan.llm.v1.LLMService" });
  expect(response.status).toBe(grpc.health.v1.HealthCheckResponse.ServingStatus.SERVING);
});

test("an answer larger than a message may be names the setting", async () => {
  const long = speaking(async function* () {
    yield text("x".repeat(5000));
    yield FINISH;
  });
  await using one = await serveGrpc({ long }, { grpc_max_message_length: 4000 });
  const { code, details } = await one.client.unary(METHOD, { prompt: "Hi" });
  expect([codeName(code), details]).toEqual([
    "RESOURCE_EXHAUSTED",
    expect.stringContaining("grpc_max_message_length"),
  ]);
});
