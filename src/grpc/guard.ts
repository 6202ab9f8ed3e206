import { isIP } from "node:net";
import { CapstanError } from "../contracts/index.ts";
import type { Exchange } from "./exchange.ts";

const PROXY_HEADERS = ["forwarded", "x-forwarded-for", "x-real-ip"];

/**
 * Without access control, only a program on this machine may change what is served: not through a proxy,
 * not from a web page, not under a name that merely resolves to loopback. The same rule as for HTTP.
 * @throws CapstanError PERMISSION_DENIED saying which.
 */
export function checkLocalCaller(exchange: Exchange): void {
  const address = hostOf(exchange.peer);
  if (!isLoopback(address)) throw denied(`the caller's address ${address} is not loopback`);
  const proxy = PROXY_HEADERS.find((name) => exchange.metadata(name) !== undefined);
  if (proxy !== undefined) throw denied(`the header '${proxy}' shows that a proxy speaks for somebody else`);
  const host = hostOf(exchange.authority);
  if (host !== "localhost" && !isLoopback(host))
    throw denied(`the authority '${host}' is not a loopback address`);
  const origin = exchange.metadata("origin");
  if (origin !== undefined) throw denied(`the request comes from a web page (Origin '${origin}')`);
}

function denied(why: string): CapstanError {
  return new CapstanError(
    "PERMISSION_DENIED",
    `This method changes what is served and is open to local programs only: ${why}`,
  );
}

/** `::1` of `[::1]:8081`, and of `::1:8081` as grpc-js writes a peer. */
function hostOf(address: string): string {
  const bracketed = /^\[([^\]]*)\]/.exec(address);
  return bracketed ? bracketed[1]! : address.replace(/:\d+$/, "");
}

function isLoopback(address: string): boolean {
  const plain = address.replace(/^::ffff:/, "");
  return plain === "::1" || (isIP(plain) === 4 && plain.startsWith("127."));
}
