import { once } from "node:events";
import net, { type AddressInfo, type Socket } from "node:net";

type Reply = string | number | null | { readonly simple: string } | { readonly error: string } | Reply[];
type Entry = readonly [id: number, fields: readonly string[]];
interface Kept {
  text?: string;
  entries?: Entry[];
  expires?: number;
}

/**
 * As much of Redis as streams and tickets use, in this process: for tests that must run without one. Those of
 * tests/peers run the same suites against the real one.
 */
export class FakeRedis implements AsyncDisposable {
  readonly #kept = new Map<string, Kept>();
  readonly #subscribers = new Map<string, Set<Socket>>();
  readonly #sockets = new Set<Socket>();
  #server: net.Server | undefined;
  #port = 0;
  #hangs = false;

  static async start(): Promise<FakeRedis> {
    const redis = new FakeRedis();
    await redis.restart();
    return redis;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.#port}`;
  }

  /** Ends it as a crash does: what it kept is gone. */
  async crash(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#kept.clear();
    this.#subscribers.clear();
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    server.close();
    await once(server, "close");
  }

  /** Starts it again after a crash, empty, at the same port. */
  async restart(): Promise<void> {
    this.#server = net.createServer((socket) => this.#serve(socket)).listen(this.#port, "127.0.0.1");
    await once(this.#server, "listening");
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** It takes connections and commands, and answers none. */
  hang(): void {
    this.#hangs = true;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.crash();
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    let rest = "";
    socket.on("close", () => this.#leave(socket)).on("error", () => {});
    socket.setEncoding("latin1").on("data", (chunk: string) => {
      if (this.#hangs) return;
      const { commands, left } = readCommands(rest + chunk);
      rest = left;
      socket.write(commands.map((command) => encode(this.#answer(command, socket))).join(""), "latin1");
    });
  }

  #answer([name = "", ...args]: readonly string[], socket: Socket): Reply {
    const [key = "", ...more] = args;
    const command = this.#commands[name.toLowerCase()];
    if (command === undefined) return { error: `ERR unknown command '${name}'` };
    return command(key, more, socket);
  }

  readonly #commands: Readonly<Record<string, (key: string, args: string[], socket: Socket) => Reply>> = {
    client: () => ({ simple: "OK" }),
    quit: () => ({ simple: "OK" }),
    info: () => "redis_version:7.0.0\r\nloading:0\r\n",
    get: (key) => this.#find(key)?.text ?? null,
    getdel: (key) => {
      const text = this.#find(key)?.text ?? null;
      this.#kept.delete(key);
      return text;
    },
    set: (key, [text = "", ...options]) => {
      if (options.includes("NX") && this.#find(key)) return null;
      const ttl = options[options.indexOf("PX") + 1];
      this.#kept.set(key, { text, expires: Date.now() + Number(ttl) });
      return { simple: "OK" };
    },
    del: (key, more) => [key, ...more].filter((one) => this.#kept.delete(one)).length,
    exists: (key) => (this.#find(key) ? 1 : 0),
    keys: (pattern) => {
      const like = new RegExp(`^${pattern.replace(/[{}]/g, "\\$&").replaceAll("*", ".*")}$`);
      return [...this.#kept.keys()].filter((key) => like.test(key) && this.#find(key));
    },
    /** All at once, as a small Redis does. */
    scan: (_cursor, [, pattern = ""]) => ["0", this.#commands.keys!(pattern, [], undefined as never)],
    pexpire: (key, [ttl]) => {
      const kept = this.#find(key);
      if (kept) kept.expires = Date.now() + Number(ttl);
      return kept ? 1 : 0;
    },
    pttl: (key) => {
      const kept = this.#find(key);
      return kept?.expires === undefined ? -2 : kept.expires - Date.now();
    },
    xadd: (key, [id = "", ...fields]) => {
      const kept = this.#find(key) ?? { entries: [] };
      kept.entries!.push([Number.parseInt(id, 10), fields]);
      this.#kept.set(key, kept);
      return id;
    },
    xtrim: (key, [, oldest = ""]) => {
      const kept = this.#find(key);
      if (kept) kept.entries = kept.entries!.filter(([id]) => id >= Number.parseInt(oldest, 10));
      return 0;
    },
    xrange: (key, [start = "", , , count]) => {
      const after = start.startsWith("(") ? Number.parseInt(start.slice(1), 10) : 0;
      const found = (this.#find(key)?.entries ?? []).filter(([id]) => id > after);
      return found.slice(0, Number(count)).map(entryReply);
    },
    xrevrange: (key) => (this.#find(key)?.entries ?? []).slice(-1).map(entryReply),
    publish: (channel, [message = ""]) => {
      const sockets = this.#subscribers.get(channel) ?? new Set();
      for (const socket of sockets) socket.write(encode(["message", channel, message]), "latin1");
      return sockets.size;
    },
    subscribe: (channel, _, socket) => {
      this.#subscribers.set(channel, (this.#subscribers.get(channel) ?? new Set()).add(socket));
      return ["subscribe", channel, this.#subscriptions(socket)];
    },
    unsubscribe: (channel, _, socket) => {
      this.#subscribers.get(channel)?.delete(socket);
      return ["unsubscribe", channel, this.#subscriptions(socket)];
    },
  };

  /** A client that has none left takes replies for those of commands again. */
  #subscriptions(socket: Socket): number {
    return [...this.#subscribers.values()].filter((sockets) => sockets.has(socket)).length;
  }

  #leave(socket: Socket): void {
    this.#sockets.delete(socket);
    for (const sockets of this.#subscribers.values()) sockets.delete(socket);
  }

  #find(key: string): Kept | undefined {
    const kept = this.#kept.get(key);
    if (kept?.expires === undefined || kept.expires > Date.now()) return kept;
    this.#kept.delete(key);
    return undefined;
  }
}

const entryReply = ([id, fields]: Entry): Reply => [`${id}-0`, [...fields]];

/** Commands are arrays of bulk strings (RESP 2). A character of a text is a byte. */
function readCommands(bytes: string): { commands: string[][]; left: string } {
  const commands: string[][] = [];
  let left = bytes;
  for (;;) {
    const head = /^\*(\d+)\r\n/.exec(left);
    if (head === null) return { commands, left };
    let at = head[0].length;
    const words: string[] = [];
    while (words.length < Number(head[1])) {
      const size = /^\$(\d+)\r\n/.exec(left.slice(at, at + 20));
      if (size === null || left.length < at + size[0].length + Number(size[1]) + 2) return { commands, left };
      at += size[0].length;
      words.push(left.slice(at, at + Number(size[1])));
      at += Number(size[1]) + 2;
    }
    commands.push(words);
    left = left.slice(at);
  }
}

function encode(reply: Reply): string {
  if (reply === null) return "$-1\r\n";
  if (typeof reply === "number") return `:${reply}\r\n`;
  if (typeof reply === "string") return `$${reply.length}\r\n${reply}\r\n`;
  if (Array.isArray(reply)) return `*${reply.length}\r\n${reply.map(encode).join("")}`;
  return "error" in reply ? `-${reply.error}\r\n` : `+${reply.simple}\r\n`;
}
