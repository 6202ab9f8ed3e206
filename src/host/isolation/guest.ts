import { setTimeout as sleep } from "node:timers/promises";
import {
  type Call,
  type CapLLM,
  CapstanError,
  type ChatRequest,
  type Embeddings,
  type InferRequest,
  type InferResponse,
  type Runtime,
} from "../../contracts/index.ts";
import { userCodeCounts } from "../user-code/counts.ts";
import { Handed, wireLog } from "./answers.ts";
import { GuestHost } from "./guest-host.ts";
import type { Link } from "./link.ts";
import { Peer } from "./peer.ts";
import { responseParts } from "./responses.ts";
import { type Described, describe, type Loaded, type Task } from "./task.ts";
import { type Packed, packResponse, unpackRequest } from "./tensors.ts";

const READY_CHECK_MS = 1000;
/** How long a load that was given up may take to end, so that what it loaded is freed before the thread ends. */
const LATE_LOAD_MS = 1000;

/**
 * The side that runs a model: answers the server over `link`.
 * @param exit ends this thread or process.
 */
export function serveGuest(link: Link, exit: () => void): void {
  const guest = new Guest();
  const log = wireLog(link, 0);
  const peer = new Peer(link, guest, log);
  userCodeCounts.observe((name, value) => peer.note(name, value));
  peer.onNote = (name) => {
    if (name === "exit") exit();
  };
  guest.loader = async (task, call) => {
    const host = new GuestHost(peer, task.model, log);
    const loaded = await host.load(task, call);
    watchReady(loaded, peer);
    return loaded;
  };
}

class Guest {
  loader: (task: Task, call: Call) => Promise<Loaded> = () => Promise.reject(notLoaded());
  #loading: Promise<Loaded> | undefined;
  #loaded: Loaded | undefined;

  readonly methods = {
    load: async (task: Task, call: Call): Promise<Described> => {
      this.#loading = this.loader(task, call);
      this.#loaded = await this.#loading;
      return describe(this.#loaded);
    },
    infer: async (request: Packed<InferRequest>, call: Call) =>
      handed(await this.#runtime.infer(unpackRequest(request), call)),
    predictText: (request: ChatRequest, call: Call) => this.#llm.predictText!(request, call),
    embed: async (texts: readonly string[], call: Call) => ownBuffers(await this.#llm.embed!(texts, call)),
    tokenize: (text: string, call: Call) => this.#llm.tokenize!(text, call),
    dispose: async () => (await this.#ended())?.disposable[Symbol.asyncDispose](),
  };

  readonly streams = {
    inferStream: (request: Packed<InferRequest>, call: Call) =>
      handedEach(this.#runtime.inferStream!(unpackRequest(request), call)),
    streamTokens: (request: ChatRequest, call: Call) => this.#llm.streamTokens(request, call),
    passthrough: ({ route, body }: { route: string; body: unknown }, call: Call) =>
      responseParts(this.#llm.passthrough!(route, body, call)),
  };

  /** What was loaded, also by a load that nobody waits for any more. */
  async #ended(): Promise<Loaded | undefined> {
    const late = sleep(LATE_LOAD_MS, undefined, { ref: false });
    return Promise.race([this.#loading?.catch(() => undefined), late]);
  }

  get #runtime(): Runtime {
    if (this.#loaded?.runtime === undefined) throw notLoaded();
    return this.#loaded.runtime;
  }

  get #llm(): CapLLM {
    if (this.#loaded?.llm === undefined) throw notLoaded();
    return this.#loaded.llm;
  }
}

/** A view would bring all of its buffer along. */
function ownBuffers(answer: Float32Array[] | Embeddings): Float32Array[] | Embeddings {
  if (Array.isArray(answer)) return answer.map((vector) => vector.slice());
  return { ...answer, vectors: answer.vectors.map((vector) => vector.slice()) };
}

function notLoaded(): CapstanError {
  return new CapstanError("NOT_READY", "The isolated model is not loaded");
}

function handed(response: InferResponse): Handed {
  const packed = packResponse(response);
  return new Handed(packed, [packed.buffer]);
}

async function* handedEach(responses: AsyncIterable<InferResponse>): AsyncGenerator<Handed> {
  for await (const response of responses) yield handed(response);
}

/** The server cannot ask whether a model is ready and wait for the answer: it is told when that changes. */
function watchReady({ runtime }: Loaded, peer: Peer): void {
  if (runtime?.ready === undefined) return;
  let told = true;
  const check = () => {
    const ready = runtime.ready!();
    if (ready !== told) peer.note("ready", ready);
    told = ready;
  };
  check();
  setInterval(check, READY_CHECK_MS).unref();
}
