import { mkdir, writeFile } from "node:fs/promises";
import { afterEach, describe, expect, it } from "vitest";
import { checkSettings } from "../../src/cli/check.ts";
import { checkMemories } from "../../src/cli/memory-problems.ts";
import { loadServerSettings } from "../../src/settings/load-server.ts";
import { addRecall, type RecallServer, serveRecall, Talker } from "../support/recall.ts";
import { serve, TestRepository } from "../support/server.ts";

/** A store that fails while it is told to, and says what became of it. */
const FLAKY = `
import { CapstanError, defineMemory } from "capstan";
import { z } from "zod";
import inProcess from "${new URL("../../memory/in-process.ts", import.meta.url).pathname}";

const state = globalThis.capstanFlaky;
const failing = (what) => { if (state.failing === what) throw state.unknown ? new TypeError("no such luck") : new CapstanError("NOT_READY", "nobody answers"); };

export default defineMemory({
  name: "flaky",
  options: z.strictObject({}),
  async open(_, host) {
    failing("open");
    state.opened += 1;
    state.host = host;
    const memory = await inProcess.open({ max_sessions: 100 }, host);
    return {
      append: async (session, turns, call) => { failing("append"); return memory.append(session, turns, call); },
      read: async function* (session, range, call) { failing("read"); yield* memory.read(session, range, call); },
      clear: (session, call) => memory.clear(session, call),
      async lock() { state.locked += 1; return { async [Symbol.asyncDispose]() { state.locked -= 1; } }; },
      async [Symbol.asyncDispose]() { state.closed += 1; },
    };
  },
});`;

interface Flaky {
  failing: string;
  unknown: boolean;
  opened: number;
  closed: number;
  locked: number;
  host?: { model(name: string): unknown; fetch(): Promise<void> };
}
const state: Flaky = { failing: "", unknown: false, opened: 0, closed: 0, locked: 0 };
(globalThis as { capstanFlaky?: Flaky }).capstanFlaky = state;

async function serveFlaky(settings: object): Promise<RecallServer> {
  const served = await serveRecall({ store: "in-process" }, {});
  await addRecall(served.repository, "recall", { store: "./flaky.ts", ...settings });
  await writeFile(served.repository.path("recall", "flaky.ts"), FLAKY);
  const loaded = await served.server.post("/v2/repository/models/recall/load");
  expect(loaded).toMatchObject({ status: 200 });
  return served;
}

afterEach(() => {
  Object.assign(state, { failing: "", unknown: false, opened: 0, closed: 0 });
});

describe("a store that fails", () => {
  it.each(["open", "read", "append"])(
    "in %s refuses the request, and is used again once it works",
    async (failing) => {
      state.failing = failing;
      await using served = await serveFlaky({});
      const talker = new Talker(served.server, "recall");
      const refused = talker.says("my name is Ann", "a");
      await expect(refused).rejects.toThrow(
        "503 The memory of model 'recall' cannot be used: nobody answers",
      );
      state.failing = "";
      expect(await talker.says("who am I?", "a")).toBe("You are a stranger");
      expect(await talker.turns("a")).toHaveLength(1);
      expect(state.locked).toBe(0);
    },
  );

  it.each(["open", "read", "append"])("in %s is gone without, where the settings say so", async (failing) => {
    state.failing = failing;
    await using served = await serveFlaky({ on_error: "forget" });
    const talker = new Talker(served.server, "recall");
    expect(await talker.says("my name is Ann", "a")).toBe("You are Ann");
    state.failing = "";
    expect(await talker.says("who am I?", "a")).toBe("You are a stranger");
  });

  it("in a way nobody foresaw is an upstream's fault", async () => {
    await using served = await serveFlaky({});
    Object.assign(state, { failing: "read", unknown: true });
    const refused = new Talker(served.server, "recall").says("hi", "a");
    await expect(refused).rejects.toThrow("502 The memory of model 'recall' cannot be used: no such luck");
  });

  it("is opened once for all generations, closed with the server, and has no model to ask", async () => {
    await using served = await serveFlaky({});
    const talker = new Talker(served.server, "recall");
    await Promise.all(["a", "b"].map((session) => talker.says("hi", session)));
    await served.server.post("/v2/repository/models/recall/load");
    await talker.says("hi", "a");
    expect(state).toMatchObject({ opened: 1, closed: 0 });
    expect(() => state.host!.model("x")).toThrow(/can ask nothing of the host/);
    await expect(state.host!.fetch()).rejects.toThrow(/can ask nothing/);
    expect(await served.server.get("/v2/models/recall/sessions")).toMatchObject({
      status: 501,
      body: { error: expect.stringContaining("does not list sessions") },
    });
    await served.server[Symbol.asyncDispose]();
    expect(state).toMatchObject({ opened: 1, closed: 1 });
  });

  it("at start stops neither the server nor the model", async () => {
    await using served = await serveRecall({ store: "sql", url: "postgres://u:secret@127.0.0.1:1/n" });
    const talker = new Talker(served.server, "recall");
    expect(await talker.says("hi")).toBe("You are a stranger");
    const error = await talker.says("hi", "a").catch(String);
    expect(error).toMatch(
      /503 Memory 'chats' cannot be used: The memory in Postgres at 127.0.0.1:1\/n does not answer/,
    );
    expect(error).not.toContain("secret");
  });
});

describe("settings", () => {
  const chats = { store: "in-process", ttl: "7d", window: { turns: 2 }, on_error: "forget" };
  const faults = [
    [
      "in-proces",
      { store: "in-proces" },
      "store",
      /There is no memory 'in-proces'; did you mean "in-process"\?/,
    ],
    [
      "an option nobody has",
      { store: "redis", url: "redis://h", tll: "1d" },
      "tll",
      /unknown key; did you mean "ttl"\?/,
    ],
    ["a wrong option", { store: "in-process", max_sessions: 0 }, "max_sessions", />=1/],
    ["no address", { store: "sql" }, "url", /must be sqlite:path or postgres:/],
  ] as const;

  async function withSettings(memory: object, model?: unknown) {
    const repository = await TestRepository.create();
    await mkdir(repository.root, { recursive: true });
    await writeFile(repository.path("settings.json"), JSON.stringify({ memory }, undefined, 1));
    if (model !== undefined) await addRecall(repository, "recall", model);
    return repository;
  }

  it.each(faults)("with %s stop the start, at their place", async (_, memory, key, message) => {
    await using repository = await withSettings({ chats, mine: memory });
    const loaded = await loadServerSettings({ cwd: repository.root, env: {}, flags: {} });
    const expected = {
      file: loaded.file,
      key: `memory.mine.${key}`,
      message: expect.stringMatching(message),
      line: expect.any(Number),
    };
    await expect(checkMemories(loaded, repository.root)).rejects.toMatchObject({ problems: [expected] });
    const { problems } = await checkSettings(repository.root, {}, repository.root);
    expect(problems).toMatchObject([expected]);
  });

  it.each(faults)("of a model with %s are a load error", async (_, memory, key, message) => {
    await using repository = await withSettings({ chats }, memory);
    const { problems } = await checkSettings(repository.root, {}, repository.root);
    expect(problems).toMatchObject([
      { key: `parameters.extra.memory.${key}`, message: expect.stringMatching(message) },
    ]);
    await using server = await serve(repository.root);
    const { body } = await server.post("/v2/repository/index");
    expect(body).toMatchObject([{ state: "UNAVAILABLE", reason: expect.stringMatching(message) }]);
  });

  it("that name a memory which is not there say which there are", async () => {
    await using repository = await withSettings({ chats }, "chat");
    const message = `there is no 'chat' in 'memory' of settings.json; did you mean "chats"? It names chats`;
    const { problems } = await checkSettings(repository.root, {}, repository.root);
    expect(problems).toMatchObject([{ key: "parameters.extra.memory", message }]);
    await using server = await serve(repository.root, { memory: { chats } });
    const { body } = await server.post("/v2/repository/index");
    expect(body).toMatchObject([{ state: "UNAVAILABLE", reason: expect.stringContaining(message) }]);
  });

  it("that are right are no problem", async () => {
    await using repository = await withSettings({ chats }, "chats");
    expect((await checkSettings(repository.root, {}, repository.root)).problems).toEqual([]);
    const loaded = await loadServerSettings({ cwd: repository.root, env: {}, flags: {} });
    await checkMemories(loaded, repository.root);
    await checkMemories({ settings: { ...loaded.settings, memory: {} } }, repository.root);
  });
});
