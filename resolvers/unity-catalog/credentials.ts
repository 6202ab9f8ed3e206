import { createHash } from "node:crypto";
import type { Call } from "../../src/contracts/index.ts";
import { send, textIn, upstream } from "./exchange.ts";
import type { UnityCatalogOptions } from "./options.ts";

/** What authenticates at the registry. */
export interface Credentials {
  headers(call: Call): Promise<Record<string, string>>;
  /** What was got from the registry is refused by it, and must be got anew. */
  forget(): void;
}

interface Token {
  readonly value: string;
  /** Milliseconds since the epoch. */
  readonly expires: number;
}

/** Kept between polls, each of which opens a resolver of its own. */
const tokens = new Map<string, Token>();
const EARLY_MS = 60_000;

/** A token, a service principal, or nothing; the environment is asked as Databricks' own tools do. */
export function credentialsOf(address: string, options: UnityCatalogOptions): Credentials {
  const { DATABRICKS_TOKEN, DATABRICKS_CLIENT_ID, DATABRICKS_CLIENT_SECRET } = process.env;
  if (options.token !== undefined) return bearer(options.token);
  if (options.client_id !== undefined)
    return principal(address, options.client_id, options.client_secret!, options.timeout);
  if (DATABRICKS_TOKEN) return bearer(DATABRICKS_TOKEN);
  if (DATABRICKS_CLIENT_ID && DATABRICKS_CLIENT_SECRET) {
    return principal(address, DATABRICKS_CLIENT_ID, DATABRICKS_CLIENT_SECRET, options.timeout);
  }
  return { headers: async () => ({}), forget() {} };
}

const bearer = (token: string): Credentials => ({
  headers: async () => ({ authorization: `Bearer ${token}` }),
  forget() {},
});

/** OAuth 2.0 client credentials (RFC 6749, 4.4), at the address that Databricks has for them. */
function principal(address: string, id: string, secret: string, timeout: number): Credentials {
  const key = createHash("sha256")
    .update(JSON.stringify([address, id, secret]))
    .digest("hex");
  return {
    async headers(call) {
      const known = tokens.get(key);
      const token =
        known && known.expires > Date.now() ? known : await tokenFor(address, id, secret, timeout, call);
      tokens.set(key, token);
      return { authorization: `Bearer ${token.value}` };
    },
    forget: () => void tokens.delete(key),
  };
}

async function tokenFor(
  address: string,
  id: string,
  secret: string,
  timeout: number,
  call: Call,
): Promise<Token> {
  const url = new URL(`${address}/oidc/v1/token`);
  const login = Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString("base64");
  const body = new URLSearchParams({ grant_type: "client_credentials", scope: "all-apis" });
  const answer = await send(
    url,
    { method: "POST", headers: { authorization: `Basic ${login}` }, body },
    timeout,
    call,
  );
  const value = textIn(answer.json?.access_token);
  if (answer.status !== 200 || value === "") {
    const why = textIn(answer.json?.error_description) || textIn(answer.json?.error) || "no token";
    throw upstream(`${answer.where} answered ${answer.status}: ${why}. Check client_id and client_secret`);
  }
  const seconds = Number(answer.json?.expires_in ?? 3600);
  return { value, expires: Date.now() + seconds * 1000 - EARLY_MS };
}
