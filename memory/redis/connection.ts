import { Redis } from "ioredis";
import { type Call, CapstanError } from "../../src/contracts/index.ts";
import { SCRIPTS, type ScriptName } from "./scripts.ts";

const CONNECT_MS = 2000;
const COMMAND_MS = 5000;
const LONGEST_RETRY_MS = 2000;
const RETRY_STEP_MS = 100;

/** The scripts of this store, sent once and named by their digest after that. */
type Scripts = Readonly<
  Record<ScriptName, (keyCount: number, ...values: (string | number)[]) => Promise<unknown>>
>;

/** A connection to Redis, made at first use and again whenever it breaks. */
export class RedisConnection implements AsyncDisposable {
  readonly #redis: Redis;
  readonly #place: string;
  #opening: Promise<void> | undefined;

  constructor(url: string) {
    this.#redis = new Redis(url, {
      lazyConnect: true,
      connectTimeout: CONNECT_MS,
      commandTimeout: COMMAND_MS,
      // Commands fail at once while there is no connection: who asks is told, and nothing is written late.
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      retryStrategy: (times) => Math.min(times * RETRY_STEP_MS, LONGEST_RETRY_MS),
    });
    this.#place = placeOf(url);
    // What is wrong shows in the commands; without a listener ioredis prints it.
    this.#redis.on("error", () => {});
    for (const [name, lua] of Object.entries(SCRIPTS)) this.#redis.defineCommand(name, { lua });
  }

  /**
   * Runs a script; its keys must hash to one slot of a cluster.
   * @throws CapstanError NOT_READY when Redis does not answer, and the signal's reason when it aborts.
   */
  async run(name: ScriptName, keys: readonly string[], values: readonly (string | number)[], call: Call) {
    call.signal.throwIfAborted();
    return unlessAborted(this.#run(name, keys, values), call.signal);
  }

  /** As {@link run}, for what nobody waits for. */
  runUnasked(name: ScriptName, keys: readonly string[], values: readonly (string | number)[]) {
    return this.#run(name, keys, values);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#redis.disconnect();
  }

  async #run(name: ScriptName, keys: readonly string[], values: readonly (string | number)[]) {
    this.#opening ??= this.#redis.connect().catch(() => {});
    await this.#opening;
    try {
      return await (this.#redis as unknown as Scripts)[name](keys.length, ...keys, ...values);
    } catch (error) {
      // The original is not kept: ioredis puts the command with its arguments on it.
      const reason = error instanceof Error ? error.message : String(error);
      throw new CapstanError("NOT_READY", `The memory in Redis at ${this.#place} does not answer: ${reason}`);
    }
  }
}

function placeOf(url: string): string {
  const { hostname, port } = new URL(url);
  return port === "" ? hostname : `${hostname}:${port}`;
}

function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  work.finally(() => signal.removeEventListener("abort", abort)).then(resolve, reject);
  return promise;
}
