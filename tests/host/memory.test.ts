import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GRPCInferenceService, LLMService } from "../../src/grpc/generated/services.ts";
import { TestClient } from "../support/grpc.ts";
import { type RecallServer, serveRecall, Talker } from "../support/recall.ts";

let served: RecallServer;
let talker: Talker;
beforeAll(async () => {
  const inline = { store: "in-process", window: { turns: 2 } };
  const models = {
    recall: "chats",
    other: "chats",
    own: inline,
    none: undefined,
    few: { store: "in-process", window: { tokens: 12 } },
  };
  served = await serveRecall({ store: "in-process" }, models);
  talker = new Talker(served.server, "recall");
});
afterAll(() => served[Symbol.asyncDispose]());

const model = (name: string) => new Talker(served.server, name);
const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });
const json = { "content-type": "application/json" };

describe("one session over every transport", () => {
  it("goes on over OpenAI, V2, the text API and gRPC", async () => {
    const { server } = served;
    expect(await talker.says("my name is Ann", "one")).toBe("You are Ann");
    const inputs = [{ name: "text_input", datatype: "BYTES", shape: [1], data: ["who am I?"] }];
    const v2 = await server.post("/v2/models/recall/infer", { inputs, parameters: { session_id: "one" } });
    expect(v2.body).toMatchObject({ outputs: [{ data: ["You are Ann"] }] });
    const body = JSON.stringify({ model: "recall", prompt: "and now?" });
    const init = { method: "POST", headers: { ...json, "x-session-id": "one" }, body };
    expect(await (await server.request("/v1/generate", init)).json()).toMatchObject({
      output: "You are Ann",
    });
    const client = new TestClient(`127.0.0.1:${server.running.grpc.port}`);
    const asked = { model: "recall", prompt: "who?", sessionId: "one" };
    const answer = await client.unary(LLMService.ChatCompletion, asked);
    client.close();
    expect(answer.response).toMatchObject({ content: "You are Ann" });
    const generated = { text_input: "generate", session_id: "one" };
    expect((await server.post("/v2/models/recall/generate", generated)).body).toMatchObject({
      text_output: "You are Ann",
    });
    const said = (await talker.turns("one")).map(({ messages }) => messages[0]!.content);
    expect(said).toEqual(["my name is Ann", "who am I?", "and now?", "who?", "generate"]);
  });

  it("remembers by metadata.session_id, by the header, in streams, and not without a session", async () => {
    await talker.says("my name is Bob", undefined, { metadata: { session_id: "two" } });
    const body = JSON.stringify({ model: "recall", stream: true, messages: [user("who am I?")] });
    const init = { method: "POST", headers: { ...json, "x-session-id": "two" }, body };
    expect(await (await served.server.request("/v1/chat/completions", init)).text()).toContain("You are Bob");
    expect(await talker.turns("two")).toHaveLength(2);
    expect(await talker.says("who am I?")).toBe("You are a stranger");
    expect(await talker.says("who am I?", "three")).toBe("You are a stranger");
    await model("none").says("my name is Eve", "four");
    expect(await model("none").says("who am I?", "four")).toBe("You are a stranger");
  });

  it("is that of all models with the memory, and of no other", async () => {
    await talker.says("my name is Cy", "shared");
    expect(await model("other").says("who am I?", "shared")).toBe("You are Cy");
    expect(await model("own").says("who am I?", "shared")).toBe("You are a stranger");
  });

  it("outlives the model's generations", async () => {
    await model("own").says("my name is Di", "reload");
    await served.server.post("/v2/repository/models/own/load");
    expect(await model("own").says("who am I?", "reload")).toBe("You are Di");
  });

  it("goes on over V2 by the header, which a parameter outweighs, and over gRPC of V2", async () => {
    const { server } = served;
    await talker.says("my name is Gus", "header");
    const ask = async (parameters?: object) => {
      const inputs = [{ name: "text_input", datatype: "BYTES", shape: [1], data: ["who am I?"] }];
      const body = JSON.stringify({ inputs, parameters });
      const init = { method: "POST", headers: { ...json, "x-session-id": "header" }, body };
      const answer = await server.request("/v2/models/recall/infer", init);
      return ((await answer.json()) as { outputs: { data: string[] }[] }).outputs[0]!.data[0];
    };
    expect(await ask()).toBe("You are Gus");
    expect(await ask({ session_id: "nobody's" })).toBe("You are a stranger");
    const client = new TestClient(`127.0.0.1:${server.running.grpc.port}`);
    const contents = { bytesContents: [Buffer.from("who am I?")] };
    const asked = {
      modelName: "recall",
      inputs: [{ name: "text_input", datatype: "BYTES", shape: [1n], contents }],
    };
    const { response } = await client.unary(GRPCInferenceService.ModelInfer, asked, {
      headers: { "x-session-id": "header" },
    });
    client.close();
    expect(
      Buffer.from(
        response.rawOutputContents[0] ?? response.outputs[0]!.contents!.bytesContents[0]!,
      ).toString(),
    ).toContain("You are Gus");
  });

  it("has the same name in a header, as UTF-8 or Latin-1, as anywhere else", async () => {
    const name = "Jürgen/1%2F";
    await talker.says("my name is Jo", undefined, { metadata: { session_id: name } });
    for (const encoding of ["utf8", "latin1"] as const) {
      const header = Buffer.from(name, encoding).toString("latin1");
      const body = JSON.stringify({ model: "recall", prompt: "who am I?" });
      const init = { method: "POST", headers: { ...json, "x-session-id": header }, body };
      expect(await (await served.server.request("/v1/generate", init)).json()).toMatchObject({
        output: "You are Jo",
      });
    }
    const { body } = await served.server.get("/v2/models/recall/sessions");
    expect(body).toMatchObject({ sessions: expect.arrayContaining([{ id: name }]) });
    expect(await talker.turns(name)).toHaveLength(3);
  });

  it("takes each prompt of one V2 request for a turn", async () => {
    const inputs = [{ name: "text_input", datatype: "BYTES", shape: [3], data: ["a", "b", "c"] }];
    await served.server.post("/v2/models/recall/infer", { inputs, parameters: { session_id: "batch" } });
    const turns = await talker.turns("batch");
    expect(turns.map(({ messages }) => messages[0]!.content)).toEqual(["a", "b", "c"]);
  });
});

describe("what is remembered", () => {
  it("is what was said and answered, and nothing of an answer that failed or was cancelled", async () => {
    await talker.says("hello", "kept");
    await expect(talker.says("break", "kept")).rejects.toThrow(/It broke/);
    await talker.says("filter", "kept");
    const aborted = new AbortController();
    const body = JSON.stringify({
      model: "recall",
      stream: true,
      messages: [user("wait")],
      conversation: "kept",
    });
    const init = { method: "POST", headers: json, body, signal: aborted.signal };
    const reader = (await served.server.request("/v1/chat/completions", init)).body!.getReader();
    await reader.read();
    aborted.abort();
    await reader.read().catch(() => {});
    await talker.says("bye", "kept", { n: 2 });
    expect((await talker.turns("kept")).map(({ messages }) => messages)).toEqual([
      [user("hello"), assistant("You are a stranger")],
      [user("bye"), assistant("You are a stranger")],
    ]);
  });

  it("is not doubled by a client that sends its conversation again", async () => {
    await talker.says("my name is Flo", "again");
    const past = [user("my name is Flo"), assistant(" You are Flo\n")];
    expect(await talker.sees("again", past)).toEqual([
      "user: my name is Flo",
      "assistant: You are Flo",
      "user: what do you see?",
    ]);
    expect(await talker.turns("again")).toHaveLength(2);
  });

  it("makes way for a conversation that the client has changed, and fills up one that it has shortened", async () => {
    await talker.says("one", "edited");
    await talker.says("two", "edited");
    const changed = [user("three"), assistant("four")];
    expect(await talker.sees("edited", changed)).toEqual([
      "user: three",
      "assistant: four",
      "user: what do you see?",
    ]);
    await talker.says("one", "short");
    await talker.says("two", "short");
    const end = [user("two"), assistant("You are a stranger")];
    expect((await talker.sees("short", end)).slice(0, 3)).toEqual([
      "user: one",
      "assistant: You are a stranger",
      "user: two",
    ]);
  });

  it("holds a tool's call and its result together, whoever sends what", async () => {
    const own = model("own");
    await own.says("weather?", "tools");
    const result = { role: "tool", tool_call_id: "c1", content: "sunny" };
    await own.says([result], "tools");
    await own.says([user("thanks")], "tools");
    expect(await own.sees("tools")).toEqual([
      "user: weather?",
      "assistant: ",
      "tool: sunny",
      "assistant: You are a stranger",
      "user: thanks",
      "assistant: You are a stranger",
      "user: what do you see?",
    ]);
    await own.says("one more", "tools");
    expect((await own.sees("tools"))[0]).toBe("user: what do you see?");
  });

  it("keeps the instructions, the newest ones, in front and once", async () => {
    const own = model("own");
    const system = (content: string) => ({ role: "system", content });
    for (const text of ["a", "b", "c"]) await own.says([system("be kind"), user(text)], "rules");
    const kind = ["system: be kind", "user: b", "assistant: You are a stranger", "user: c"];
    expect((await own.sees("rules")).slice(0, 4)).toEqual(kind);
    expect((await own.sees("rules", [system("be brief")]))[0]).toBe("system: be brief");
    const seen = await own.sees("rules");
    expect(seen.filter((text) => text.startsWith("system"))).toEqual(["system: be brief"]);
  });

  it("is cut to the tokens that fit", async () => {
    const few = model("few");
    await few.says("a long story that does not fit into the window at all, as anybody can see", "cut");
    await few.says("hi", "cut");
    expect(await few.sees("cut")).toEqual([
      "user: hi",
      "assistant: You are a stranger",
      "user: what do you see?",
    ]);
  });

  it("is one turn for a request that is sent again with its id", async () => {
    const send = (content: string) =>
      served.server.request("/v1/chat/completions", {
        method: "POST",
        headers: { ...json, "x-request-id": "fixed", "x-session-id": "resent" },
        body: JSON.stringify({ model: "recall", messages: [user(content)] }),
      });
    for (const content of ["a", "a", "b"]) await send(content);
    expect((await talker.turns("resent")).map(({ messages }) => messages[0]!.content)).toEqual(["a", "b"]);
  });
});

describe("two writers of one session", () => {
  it("take turns, and each sees what was before", async () => {
    await Promise.all(["slowly", "slowly", "slowly"].map((said) => talker.says(said, "both")));
    const seen = await talker.sees("both");
    expect(seen).toHaveLength(7);
    expect(seen.filter((_, index) => index % 2 === 0).slice(0, 3)).toEqual(Array(3).fill("user: slowly"));
  });

  it("do not wait longer than they want, nor for one that left", async () => {
    const wait = () => {
      const aborted = new AbortController();
      const body = JSON.stringify({
        model: "recall",
        stream: true,
        messages: [user("wait")],
        conversation: "held",
      });
      const request = served.server.request("/v1/chat/completions", {
        method: "POST",
        headers: json,
        body,
        signal: aborted.signal,
      });
      return { request, leave: () => aborted.abort() };
    };
    const holder = wait();
    await (await holder.request).body!.getReader().read();
    const late = await served.server.request("/v1/chat/completions", {
      method: "POST",
      headers: { ...json, "x-request-timeout-ms": "50" },
      body: JSON.stringify({ model: "recall", messages: [user("hi")], conversation: "held" }),
    });
    expect(late.status).toBe(504);
    const next = talker.says("hi", "held");
    holder.leave();
    expect(await next).toBe("You are a stranger");
  });
});

describe("the routes of sessions", () => {
  const sessions = (name: string, id = "") =>
    `/v2/models/${name}/sessions${id && `/${encodeURIComponent(id)}`}`;

  it("list, read and clear the caller's own", async () => {
    const own = model("own");
    await own.says("hello", "a/b c");
    const { body } = await served.server.get(sessions("own"));
    expect((body as { sessions: { id: string }[] }).sessions).toContainEqual({ id: "a/b c" });
    expect((await served.server.get(sessions("own", "a/b c"))).body).toEqual({
      id: "a/b c",
      turns: [
        {
          id: expect.any(String),
          at: expect.any(Number),
          messages: [user("hello"), assistant("You are a stranger")],
        },
      ],
    });
    const cleared = await served.server.request(sessions("own", "a/b c"), { method: "DELETE" });
    expect(await cleared.json()).toEqual({ id: "a/b c", cleared: true });
    expect((await served.server.get(sessions("own", "a/b c"))).status).toBe(404);
  });

  it("write tool calls as the OpenAI API does", async () => {
    await model("own").says("weather?", "calls");
    const { body } = await served.server.get(sessions("own", "calls"));
    expect(body).toMatchObject({
      turns: [
        { messages: [user("weather?"), { tool_calls: [{ id: "c1", function: { name: "weather" } }] }] },
      ],
    });
  });

  it("are not there for a model without memory, nor for one that is not there", async () => {
    expect(await served.server.get(sessions("none"))).toEqual({
      status: 404,
      body: { error: "Model 'none' remembers no conversations: set parameters.extra.memory in its settings" },
    });
    expect((await served.server.get(sessions("missing"))).status).toBe(404);
    expect((await served.server.get(sessions("recall", "never was"))).body).toEqual({
      error: 'You have no session "never was"',
    });
  });

  it.each(["x".repeat(513), "a\nb"])("refuse the id %j, as every transport does", async (id) => {
    const error = "A session's id has 1 to 512 characters, none of them a control character";
    expect(await served.server.get(sessions("recall", id))).toEqual({ status: 400, body: { error } });
    await expect(talker.says("hi", id)).rejects.toThrow(error);
    const inputs = [{ name: "text_input", datatype: "BYTES", shape: [1], data: ["hi"] }];
    const asked = { inputs, parameters: { session_id: id } };
    expect(await served.server.post("/v2/models/recall/infer", asked)).toEqual({
      status: 400,
      body: { error },
    });
  });
});
