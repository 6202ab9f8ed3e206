/** Where an OpenAI-compatible server listens. */
export interface Address {
  readonly origin: string;
  /** What comes before `/chat/completions`, without a slash at its end. */
  readonly path: string;
  /** For messages and logs. It holds no secrets: an address with a password in it is refused. */
  readonly label: string;
}

const EXAMPLES = "write http://host:port/v1 or https://host/v1";

/**
 * Reads a base URL. `/v1` is added when it has no path; another path, such as that of an Azure deployment, is
 * taken as it is.
 * @throws Error saying what is wrong with it.
 */
export function parseAddress(text: string): Address {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) throw new Error(`is not an HTTP address; ${EXAMPLES}`);
  if (url.username !== "" || url.password !== "") {
    throw new Error("holds a user or password; use api_key or headers instead");
  }
  if (url.search !== "" || url.hash !== "") {
    throw new Error("has a query or fragment; give what follows the ? as the option query");
  }
  const path = url.pathname.replace(/\/+$/, "") || "/v1";
  return { origin: url.origin, path, label: url.origin + path };
}
