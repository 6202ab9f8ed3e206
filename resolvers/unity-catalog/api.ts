import { type Call, CapstanError, invalid } from "../../src/contracts/index.ts";
import { type Credentials, credentialsOf } from "./credentials.ts";
import { type Answer, type Json, send, textIn, upstream } from "./exchange.ts";
import type { UnityCatalogOptions } from "./options.ts";

export const CATALOG = "/api/2.1/unity-catalog";

/** The registry's REST API. */
export class CatalogApi {
  /** Without a slash at its end. */
  readonly address: string;
  readonly #timeout: number;
  readonly #credentials: Credentials;

  constructor(options: UnityCatalogOptions) {
    this.address = addressOf(options);
    this.#timeout = options.timeout;
    this.#credentials = credentialsOf(this.address, options);
  }

  /** What authenticates at the registry; sent nowhere else. */
  headers(call: Call): Promise<Record<string, string>> {
    return this.#credentials.headers(call);
  }

  /** @throws CapstanError NOT_FOUND for a 404, UPSTREAM for every other fault. */
  async ask(path: string, query: Readonly<Record<string, string>>, call: Call, body?: Json): Promise<Json> {
    const answer = await this.try(path, query, call, body);
    if (answer.status === 200 && answer.json !== undefined) return answer.json;
    throw this.refusal(answer);
  }

  /** The answer, whatever its status. */
  async try(path: string, query: Readonly<Record<string, string>>, call: Call, body?: Json): Promise<Answer> {
    const url = new URL(this.address + path);
    url.search = new URLSearchParams(query).toString();
    const headers = await this.#credentials.headers(call);
    const json = body === undefined ? {} : { "content-type": "application/json" };
    const init: RequestInit =
      body === undefined
        ? { headers }
        : { method: "POST", headers: { ...headers, ...json }, body: JSON.stringify(body) };
    const answer = await send(url, init, this.#timeout, call);
    // A token that was withdrawn before its time is not kept.
    if (answer.status === 401) this.#credentials.forget();
    return answer;
  }

  /** An answer that is not what was asked for, as what it means. */
  refusal({ where, status, json }: Answer): CapstanError {
    if (json !== undefined) return failure(where, status, json);
    const what = `${where} answered ${status} and no JSON`;
    if (status === 401 || status === 403) return upstream(`${what}. ${LOGIN}`);
    return upstream(`${what}: is ${this.address}, in parameters.extra.source.registry, a Unity Catalog?`);
  }
}

const LOGIN =
  "Check token, or client_id and client_secret, in parameters.extra.source, and that the principal has EXECUTE on the " +
  "model and USE on its catalog and schema";

function failure(where: string, status: number, json: Json): CapstanError {
  const code = textIn(json.error_code);
  const message = (textIn(json.message) || "no message").slice(0, 500);
  const notFound = status === 404 || code.endsWith("DOES_NOT_EXIST");
  if (notFound) return new CapstanError("NOT_FOUND", `The registry does not have it: ${message}`);
  const advice = status === 401 || status === 403 ? `. ${LOGIN}` : "";
  return upstream(`${where} answered ${status} ${code}: ${message}${advice}`);
}

function addressOf({ registry = process.env.DATABRICKS_HOST }: UnityCatalogOptions): string {
  if (registry === undefined || registry === "") {
    throw invalid(
      "The address of the Unity Catalog is missing: set parameters.extra.source.registry, such as https://my.cloud.databricks.com",
    );
  }
  // Databricks' own tools take a host name alone.
  const address = /^[a-z]+:\/\//i.test(registry) ? registry : `https://${registry}`;
  if (!/^https?:\/\//i.test(address) || !URL.canParse(address))
    throw invalid(`'${registry}' is not an address of a registry`);
  const { username, password, protocol, host } = new URL(address);
  if (username !== "" || password !== "") {
    throw invalid(
      `The registry ${protocol}//${host} holds a user or a password: put them into parameters.extra.source as token, ` +
        "or as client_id and client_secret",
    );
  }
  return address.replace(/\/+$/, "");
}
