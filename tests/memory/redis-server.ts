import { createHash } from "node:crypto";
import { once } from "node:events";
import net, { type AddressInfo, type Socket } from "node:net";
import { SCRIPTS, type ScriptName } from "../../memory/redis/scripts.ts";

type Answer = number | string | readonly Answer[];

/**
 * A server that does in this process what the store's scripts do in Redis, for tests that must run without one. Those
 * of tests/peers run the same contract, and the scripts themselves, against the real one.
 */
export class ScriptServer implements AsyncDisposable {
  readonly #turns = new Map<string, Map<string, string>>();
  readonly #sessions = new Map<string, Set<string>>();
  readonly #numbers = new Map<string, number>();
  readonly #sockets = new Set<Socket>();
  readonly #server = net.createServer((socket) => this.#serve(socket));
  readonly #names = new Map(
    Object.entries(SCRIPTS).map(([name, lua]) => [sha1(lua), name as ScriptName] as const),
  );
  /** Names of the scripts that were run. */
  readonly ran: ScriptName[] = [];
  /** Commands stay without an answer. */
  silent = false;

  static async start(): Promise<ScriptServer> {
    const started = new ScriptServer();
    await once(started.#server.listen(0, "127.0.0.1"), "listening");
    return started;
  }

  get url(): string {
    return `redis://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Takes a key away, as when its time is over. */
  expire(key: string): void {
    this.#numbers.delete(key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    let bytes = Buffer.alloc(0);
    socket
      .on("error", () => {})
      .on("data", (chunk) => {
        bytes = Buffer.concat([bytes, chunk]);
        for (let read = readCommand(bytes); read !== undefined; read = readCommand(bytes)) {
          bytes = bytes.subarray(read.length);
          if (!this.silent) socket.write(this.#answer(read.words));
        }
      });
  }

  #answer([command = "", ...rest]: string[]): string {
    if (/^info$/i.test(command)) return encode("loading:0\r\n");
    if (!/^eval(sha)?$/i.test(command)) return "+OK\r\n";
    const [script = "", count, ...values] = rest;
    const name = this.#names.get(/sha$/i.test(command) ? script : sha1(script));
    if (name === undefined) return "-NOSCRIPT No matching script\r\n";
    this.ran.push(name);
    return encode(this.#scripts[name](values.slice(0, Number(count)), values.slice(Number(count))));
  }

  /** What each script does, without times to live. */
  readonly #scripts: Record<ScriptName, (keys: readonly string[], values: readonly string[]) => Answer> = {
    beginTurn: ([lock, fence, ...session], [, , id, ttl, last]) => {
      const token = this.#scripts.acquireLock([lock!, fence!], []);
      return [token, token === 0 ? [] : this.#scripts.readTurns(session, [id!, ttl!, last!])];
    },
    endTurn: (keys, values) => {
      const done = this.#scripts.appendTurns(keys, values);
      if (done === 1) this.#scripts.releaseLock([keys[4]!], [values[2]!]);
      return done;
    },
    appendTurns: ([turns, , sessions, fence], [id, , token, ...written]) => {
      if (Number(token) > 0 && (this.#numbers.get(fence!) ?? 0) > Number(token)) return 0;
      const kept = this.#turns.get(turns!) ?? new Map<string, string>();
      this.#turns.set(turns!, kept);
      for (let at = 0; at < written.length; at += 2) {
        if (!kept.has(written[at]!)) kept.set(written[at]!, written[at + 1]!);
      }
      this.#sessions.set(sessions!, (this.#sessions.get(sessions!) ?? new Set()).add(id!));
      return 1;
    },
    readTurns: ([turns], [, , last]) => {
      const texts = [...(this.#turns.get(turns!)?.values() ?? [])];
      return last === "-1" ? texts : texts.slice(Math.max(0, texts.length - Number(last)));
    },
    clearTurns: ([turns, , sessions], [id]) => {
      this.#sessions.get(sessions!)?.delete(id!);
      return Number(this.#turns.delete(turns!));
    },
    listSessions: ([sessions]) => [...(this.#sessions.get(sessions!) ?? [])],
    acquireLock: ([lock, fence]) => {
      if (this.#numbers.has(lock!)) return 0;
      const token = (this.#numbers.get(fence!) ?? 0) + 1;
      this.#numbers.set(fence!, token).set(lock!, token);
      return token;
    },
    renewLock: ([lock], [token]) => Number(this.#numbers.get(lock!) === Number(token)),
    releaseLock: ([lock], [token]) =>
      Number(this.#numbers.get(lock!) === Number(token) && this.#numbers.delete(lock!)),
  };
}

const sha1 = (text: string) => createHash("sha1").update(text).digest("hex");

function encode(answer: Answer): string {
  if (typeof answer === "number") return `:${answer}\r\n`;
  if (typeof answer === "string") return `$${Buffer.byteLength(answer)}\r\n${answer}\r\n`;
  return `*${answer.length}\r\n${answer.map(encode).join("")}`;
}

/** The first command, in Redis' protocol; undefined until all of it is there. */
function readCommand(bytes: Buffer): { words: string[]; length: number } | undefined {
  let at = 0;
  const line = () => {
    const end = bytes.indexOf("\r\n", at);
    if (end === -1) return undefined;
    const number = Number(bytes.toString("latin1", at + 1, end));
    at = end + 2;
    return number;
  };
  const count = line();
  const words: string[] = [];
  while (count !== undefined && words.length < count) {
    const length = line();
    if (length === undefined || at + length + 2 > bytes.length) return undefined;
    words.push(bytes.toString("utf8", at, at + length));
    at += length + 2;
  }
  return count === undefined ? undefined : { words, length: at };
}
