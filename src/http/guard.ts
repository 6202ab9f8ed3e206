import { isIP } from "node:net";
import { CapstanError } from "../contracts/index.ts";
import type { Exchange } from "./exchange.ts";

const PROXY_HEADERS = ["forwarded", "x-forwarded-for", "x-real-ip"];

/**
 * Without access control, only a program on this machine may change what is served. A proxy on this machine
 * speaks for others, a web page in a browser here for its author, and a name that resolves to loopback for
 * whoever owns the name: none of them is a local caller.
 * @throws CapstanError PERMISSION_DENIED saying which.
 */
export function checkLocalCaller(exchange: Exchange): void {
  const { remoteAddress = "" } = exchange.request.socket;
  if (!isLoopback(remoteAddress)) throw denied(`the caller's address ${remoteAddress} is not loopback`);
  const proxy = PROXY_HEADERS.find((name) => exchange.header(name) !== undefined);
  if (proxy !== undefined) throw denied(`the header '${proxy}' shows that a proxy speaks for somebody else`);
  const host = hostName(exchange.header("host") ?? "localhost");
  if (host !== "localhost" && !isLoopback(host))
    throw denied(`the Host header '${host}' is not a loopback address`);
  const origin = exchange.header("origin");
  if (origin !== undefined) throw denied(`the request comes from a web page (Origin '${origin}')`);
}

function denied(why: string): CapstanError {
  return new CapstanError(
    "PERMISSION_DENIED",
    `This route changes what is served and is open to local programs only: ${why}`,
  );
}

function hostName(host: string): string {
  const bracketed = /^\[([^\]]*)\]/.exec(host);
  return bracketed ? bracketed[1]! : host.replace(/:\d+$/, "");
}

function isLoopback(address: string): boolean {
  const plain = address.replace(/^::ffff:/, "");
  return plain === "::1" || (isIP(plain) === 4 && plain.startsWith("127."));
}
