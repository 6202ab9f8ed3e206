import { CapstanError, type ModelSpec } from "../../src/contracts/index.ts";

/** Where one backend listens. */
export interface Address {
  readonly protocol: "http" | "grpc";
  readonly tls: boolean;
  /** `host:port`. */
  readonly host: string;
  /** HTTP only: what comes before `/v2`, without a slash at its end. */
  readonly path: string;
  /** For messages and logs. It holds no secrets: an address with a password in it is refused. */
  readonly label: string;
}

const SCHEMES: Readonly<Record<string, { protocol: Address["protocol"]; tls: boolean; port?: string }>> = {
  "http:": { protocol: "http", tls: false, port: "80" },
  "https:": { protocol: "http", tls: true, port: "443" },
  "grpc:": { protocol: "grpc", tls: false },
  "grpcs:": { protocol: "grpc", tls: true },
};

/**
 * The addresses in `parameters.uri` and `backends`, all of one protocol.
 * @throws CapstanError LOAD_FAILED saying which one is not an address and what one looks like.
 */
export function parseAddresses(model: ModelSpec, backends: readonly string[]): Address[] {
  if (model.uri === undefined) {
    throw failed(
      model,
      "it has no parameters.uri; give the other server's address, such as grpc://host:8081",
    );
  }
  const addresses = [model.uri, ...backends].map((text) => parseAddress(model, text));
  const labels = new Set(addresses.map(({ label }) => label));
  if (labels.size < addresses.length) throw failed(model, "an address is given twice in uri and backends");
  if (new Set(addresses.map(({ protocol }) => protocol)).size > 1) {
    throw failed(model, "its addresses are of both HTTP and gRPC; use one protocol for all backends");
  }
  return addresses;
}

function parseAddress(model: ModelSpec, text: string): Address {
  const url = URL.parse(text);
  if (url === null) throw failed(model, `'${withoutUser(text)}' is not an address; ${EXAMPLES}`);
  if (url.username !== "" || url.password !== "") {
    throw failed(model, `an address holds a user or password; send it as headers.authorization instead`);
  }
  const scheme = SCHEMES[url.protocol];
  if (scheme === undefined) throw failed(model, `scheme '${url.protocol}' is not known; ${EXAMPLES}`);
  const port = url.port || scheme.port;
  const path = url.pathname.replace(/\/+$/, "");
  if (url.hostname === "" || port === undefined) {
    throw failed(model, `'${text}' has no host or no port; ${EXAMPLES}`);
  }
  if (url.search !== "" || url.hash !== "" || (scheme.protocol === "grpc" && path !== "")) {
    throw failed(model, `'${text}' has parts that an address does not have; ${EXAMPLES}`);
  }
  const host = `${url.hostname}:${port}`;
  return { protocol: scheme.protocol, tls: scheme.tls, host, path, label: `${url.protocol}//${host}${path}` };
}

const EXAMPLES = "write http://host:port, https://host:port, grpc://host:port or grpcs://host:port";

function withoutUser(text: string): string {
  return text.replace(/\/\/.*@/, "//");
}

export function failed(model: ModelSpec, why: string, cause?: unknown): CapstanError {
  return new CapstanError("LOAD_FAILED", `Remote model '${model.name}' cannot load: ${why}`, { cause });
}
