import { type Call, CapstanError, invalid } from "../../src/contracts/index.ts";
import type { MlflowOptions } from "./options.ts";

export type Json = Readonly<Record<string, unknown>>;

interface Question {
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Sent as JSON by POST. */
  readonly body?: Json;
  /** Codes of errors that mean there is no such thing, besides RESOURCE_DOES_NOT_EXIST. */
  readonly missing?: readonly string[];
}

/** MLflow's REST API. */
export class MlflowApi {
  /** Without a slash at its end, a user or a password. */
  readonly address: string;
  readonly #options: MlflowOptions;

  constructor(options: MlflowOptions) {
    const url = new URL(addressOf(options));
    // MLflow's own client takes them from the address, too.
    const { username, password } = url;
    const isNamed = options.token !== "" || options.username !== "" || username === "";
    this.#options = isNamed
      ? options
      : { ...options, username: decodeURIComponent(username), password: decodeURIComponent(password) };
    this.address = withoutUser(url.href).replace(/\/+$/, "");
  }

  /** What authenticates at the registry; sent nowhere else. */
  get headers(): Record<string, string> {
    const { token, username, password } = this.#options;
    if (token !== "") return { authorization: `Bearer ${token}` };
    if (username === "") return {};
    return { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}` };
  }

  /** @throws CapstanError NOT_FOUND as the question says, UPSTREAM for every other fault. */
  async ask({ path, query = {}, body, missing = [] }: Question, call: Call): Promise<Json> {
    const url = new URL(`${this.address}${path}`);
    url.search = new URLSearchParams(query).toString();
    const { status, text } = await this.#send(url, body, call);
    const answer = parse(text);
    if (status === 200 && answer !== undefined) return answer;
    if (answer === undefined) throw this.#strange(url, status);
    throw failure(url, status, answer, missing);
  }

  async #send(url: URL, body: Json | undefined, { signal }: Call) {
    const timeout = AbortSignal.timeout(this.#options.timeout);
    try {
      const response = await fetch(url, {
        method: body === undefined ? "GET" : "POST",
        headers: { ...this.headers, ...(body === undefined ? {} : { "content-type": "application/json" }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        redirect: "manual",
        signal: AbortSignal.any([signal, timeout]),
      });
      return { status: response.status, text: await response.text() };
    } catch (cause) {
      signal.throwIfAborted();
      const why = timeout.aborted ? "no answer in time (timeout)" : reasonOf(cause);
      throw upstream(`Cannot ask the registry at ${url.origin}: ${why}`, cause);
    }
  }

  #strange({ origin, pathname }: URL, status: number): CapstanError {
    const what = `${origin}${pathname} answered ${status} and no JSON`;
    if (status === 401 || status === 403) return upstream(`${what}. ${LOGIN}`);
    return upstream(`${what}: is ${this.address}, in parameters.extra.source.registry, an MLflow server?`);
  }
}

const LOGIN = "Check token, or username and password, in parameters.extra.source";

function addressOf({ registry }: MlflowOptions): string {
  const { MLFLOW_REGISTRY_URI, MLFLOW_TRACKING_URI } = process.env;
  const address = registry ?? MLFLOW_REGISTRY_URI ?? MLFLOW_TRACKING_URI;
  if (address !== undefined && /^https?:\/\//.test(address) && URL.canParse(address)) return address;
  throw invalid(
    "The address of the MLflow server is missing: set parameters.extra.source.registry, such as http://mlflow:5000" +
      (address === undefined ? "" : `; the environment has '${withoutUser(address)}'`),
  );
}

const withoutUser = (address: string) => address.replace(/\/\/[^/@]*@/, "//");

function failure({ origin, pathname }: URL, status: number, answer: Json, missing: readonly string[]) {
  const code = String(answer.error_code ?? "");
  const message = String(answer.message ?? "no message").slice(0, 500);
  if (status === 404 || code === "RESOURCE_DOES_NOT_EXIST" || missing.includes(code)) {
    return new CapstanError("NOT_FOUND", `The registry at ${origin} does not have it: ${message}`);
  }
  const advice = status === 401 || status === 403 ? `. ${LOGIN}` : "";
  return upstream(`${origin}${pathname} answered ${status} ${code}: ${message}${advice}`);
}

export const upstream = (message: string, cause?: unknown): CapstanError =>
  new CapstanError("UPSTREAM", message, { cause });

export const isRecord = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The records in a list, whatever else is in it. */
export const recordsIn = (value: unknown): Json[] => (Array.isArray(value) ? value.filter(isRecord) : []);

export const textIn = (value: unknown): string => (typeof value === "string" ? value : "");

function parse(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function reasonOf(cause: unknown): string {
  const { message, cause: inner } = cause as Error;
  return inner instanceof Error ? inner.message || String((inner as NodeJS.ErrnoException).code) : message;
}
