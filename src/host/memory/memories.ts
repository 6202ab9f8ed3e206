import { type Call, CapstanError, invalid, type Session, type Turn } from "../../contracts/index.ts";
import { hint } from "../../settings/nearest.ts";
import type { MemorySettings } from "../../settings/server.ts";
import type { LanguageModelLayer } from "../plugin-host.ts";
import { type ModelMemory, remembering } from "./remembering.ts";
import { SessionLocks } from "./session-locks.ts";
import { SharedStore, storeOptions } from "./shared-store.ts";

/** `extra.memory` of a model: a name of the server's memories, or one of its own. */
export type MemorySetting = string | MemorySettings;

/** A model whose memory is looked for. */
export interface RememberingModel {
  readonly name: string;
  readonly memory: MemorySetting;
}

export interface MemoriesParts {
  /** Of settings.json, by name. */
  readonly named: Readonly<Record<string, MemorySettings>>;
  /** Where the stores of those come from, when they are files or packages of somebody's own. */
  readonly folder: string;
  /** Where replicas lock the sessions of stores that have no lock. */
  readonly redisUrl?: string | null;
  /**
   * The `extra.memory` of a model that is served.
   * @throws CapstanError NOT_FOUND or NOT_READY when there is none.
   */
  memoryOf(model: string): MemorySetting | undefined;
}

/** What callers may do with what they said to a model. A session is the caller's own: another's is not there. */
export interface Conversations {
  /** @throws CapstanError NOT_FOUND for a model without memory, UNSUPPORTED where its store lists none. */
  sessions(model: string, call: Call): Promise<readonly string[]>;
  /** Oldest first; empty for a session that never was. */
  turns(model: string, id: string, call: Call): Promise<readonly Turn[]>;
  /** Waits for the turn that is under way. */
  clear(model: string, id: string, call: Call): Promise<void>;
}

const LONGEST_ID = 512;
const ANYBODY = "anonymous";

/** The memories of the models, and their stores. */
export class Memories implements Conversations, AsyncDisposable {
  readonly #parts: MemoriesParts;
  readonly #locks: SessionLocks;
  readonly #stores = new Map<string, SharedStore>();

  constructor(parts: MemoriesParts) {
    this.#parts = parts;
    this.#locks = new SessionLocks(parts.redisUrl ?? null);
  }

  /**
   * Looks whether a model's memory can be had, before the model is loaded; the store is not opened.
   * @param folder the model's, @param file its settings, for messages.
   * @throws CapstanError LOAD_FAILED
   */
  async check(model: RememberingModel, folder: string, file: string): Promise<void> {
    const { memory } = model;
    const { named } = this.#parts;
    if (typeof memory !== "string")
      return this.#checkPlugin(model, folder, `${file}: parameters.extra.memory`);
    if (Object.hasOwn(named, memory))
      return this.#checkPlugin(model, folder, `settings.json: memory.${memory}`);
    const text = noSuchMemory(memory, Object.keys(named));
    throw new CapstanError("LOAD_FAILED", `${file}: parameters.extra.memory: ${text}`);
  }

  /** Puts its memory around a language model that has one. */
  readonly layer: LanguageModelLayer = (llm, { name, extra: { memory: setting } }) => {
    if (setting === undefined) return llm;
    const memory = this.#memory({ name, memory: setting });
    memory.store.warm();
    return remembering(llm, memory);
  };

  async sessions(model: string, call: Call): Promise<readonly string[]> {
    const found = this.#served(model);
    const { owner } = found.session("all", call);
    const sessions = await found.store.use(async (store) => {
      if (store.sessions !== undefined) return Array.fromAsync(store.sessions(owner, call));
      throw new CapstanError("UNSUPPORTED", "its store does not list sessions");
    }, call);
    return sessions.map(({ id }) => id);
  }

  async turns(model: string, id: string, call: Call): Promise<readonly Turn[]> {
    const found = this.#served(model);
    const session = found.session(id, call);
    return found.store.use((store) => Array.fromAsync(store.read(session, {}, call)), call);
  }

  async clear(model: string, id: string, call: Call): Promise<void> {
    const found = this.#served(model);
    const session = found.session(id, call);
    await found.store.clear(session, call);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#stores.values()].map((store) => store[Symbol.asyncDispose]()));
    await this.#locks[Symbol.asyncDispose]();
  }

  async #checkPlugin(model: RememberingModel, folder: string, place: string): Promise<void> {
    await this.#store(model, folder).plugin(place);
  }

  #served(model: string): ModelMemory {
    const memory = this.#parts.memoryOf(model);
    if (memory !== undefined) return this.#memory({ name: model, memory });
    const text = `Model '${model}' remembers no conversations: set parameters.extra.memory in its settings`;
    throw new CapstanError("NOT_FOUND", text);
  }

  #memory(model: RememberingModel): ModelMemory {
    const { window = {}, on_error: onError = "refuse" } = this.#settings(model.memory);
    const path = typeof model.memory === "string" ? [model.memory] : ["", model.name];
    return {
      store: this.#store(model, this.#parts.folder),
      window,
      onError,
      session: (id, { principal }) => sessionOf(JSON.stringify([principal?.id ?? ANYBODY, ...path]), id),
    };
  }

  /** One store for a name; one for each model that has settings of its own, which its generations share. */
  #store({ name, memory }: RememberingModel, folder: string): SharedStore {
    const settings = this.#settings(memory);
    const isNamed = typeof memory === "string";
    const key = JSON.stringify(isNamed ? [memory] : [name, settings.store, storeOptions(settings)]);
    const known = this.#stores.get(key);
    if (known !== undefined) return known;
    const shown = isNamed ? `Memory '${memory}'` : `The memory of model '${name}'`;
    const store = new SharedStore(shown, settings, isNamed ? this.#parts.folder : folder, this.#locks);
    this.#stores.set(key, store);
    return store;
  }

  #settings(memory: MemorySetting): MemorySettings {
    if (typeof memory !== "string") return memory;
    const { named } = this.#parts;
    if (Object.hasOwn(named, memory)) return named[memory]!;
    throw new CapstanError("LOAD_FAILED", noSuchMemory(memory, Object.keys(named)));
  }
}

/** @param names of the memories there are. */
export function noSuchMemory(name: string, names: readonly string[]): string {
  const have = names.length === 0 ? "It names none" : `It names ${names.join(", ")}`;
  return `there is no '${name}' in 'memory' of settings.json${hint(name, names) || "."} ${have}`;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const CONTROL = /[\u0000-\u001f\u007f]/;

function sessionOf(owner: string, id: string): Session {
  if (id.length >= 1 && id.length <= LONGEST_ID && id.isWellFormed() && !CONTROL.test(id))
    return { owner, id };
  const text = `A session's id has 1 to ${LONGEST_ID} characters, none of them a control character`;
  throw invalid(text, { param: "session_id" });
}
