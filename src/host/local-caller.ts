import { isIP } from "node:net";
import { CapstanError } from "../contracts/index.ts";

/** What a transport knows of whoever sent a request. */
export interface Caller {
  /** Address of the other end of the connection. */
  readonly address: string;
  /** What the caller called this server: the Host header, or gRPC's `:authority`; with or without a port. */
  readonly host: string;
  header(name: string): string | undefined;
}

const PROXY_HEADERS = ["forwarded", "x-forwarded-for", "x-real-ip"];

/**
 * Without access control, only a program on this machine may change what is served. A proxy on this machine
 * speaks for others, a web page in a browser here for its author, and a name that resolves to loopback for
 * whoever owns the name: none of them is a local caller.
 * @throws CapstanError PERMISSION_DENIED saying which.
 */
export function checkLocalCaller(caller: Caller): void {
  if (!isLoopback(caller.address)) throw denied(`the caller's address ${caller.address} is not loopback`);
  const proxy = PROXY_HEADERS.find((name) => caller.header(name) !== undefined);
  if (proxy !== undefined) throw denied(`the header '${proxy}' shows that a proxy speaks for somebody else`);
  const host = withoutPort(caller.host);
  if (host !== "localhost" && !isLoopback(host))
    throw denied(`the host name '${host}' is not a loopback address`);
  const origin = caller.header("origin");
  if (origin !== undefined) throw denied(`the request comes from a web page (Origin '${origin}')`);
}

function denied(why: string): CapstanError {
  return new CapstanError(
    "PERMISSION_DENIED",
    `This changes what is served and is open to local programs only: ${why}`,
  );
}

/** `::1` of `[::1]:8081`, and of `::1:8081` as grpc-js writes a peer. */
export function withoutPort(address: string): string {
  const bracketed = /^\[([^\]]*)\]/.exec(address);
  return bracketed ? bracketed[1]! : address.replace(/:\d+$/, "");
}

function isLoopback(address: string): boolean {
  const plain = address.replace(/^::ffff:/, "");
  return plain === "::1" || (isIP(plain) === 4 && plain.startsWith("127."));
}
