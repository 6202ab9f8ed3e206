import type { Log, Principal } from "../contracts/index.ts";
import type { Access } from "../host/access.ts";
import { Authenticator, notChecked } from "./authenticator.ts";
import { inTime } from "./in-time.ts";
import type { AccessRecords } from "./records.ts";
import { Refusals } from "./refusals.ts";
import { allowsModel, checkModel } from "./role.ts";

/** Routes that answer everybody unless `auth.open` says otherwise: probes, metrics, and pages that ask for a key. */
export const OPEN_ROUTES: readonly string[] = [
  ...["/v2", "/v2/health/live", "/v2/health/ready", "/health", "/readyz", "/ping", "/v1/health"],
  ...["/metrics", "/v1/metrics"],
  ...["/docs", "/redoc", "/openapi.json", "/v2/docs", "/docs/assets", "/console"],
  ...["/v2/models/:model/docs", "/v2/models/:model/openapi.json"],
];

/** How often the keys of work under way are looked at. */
const WATCH_MS = 500;

/** Access control by keys. Work under way for a key that is revoked is cancelled. */
export class AccessControl implements Access, AsyncDisposable {
  readonly authenticator: Authenticator;
  readonly refusals = new Refusals();
  readonly #records: AccessRecords;
  readonly #open: ReadonlySet<string>;
  readonly #isReady: () => boolean;
  /** Of the templates that were asked about. */
  readonly #answers = new Map<string, boolean>();
  readonly #log: Log;
  readonly #held = new Map<string, Set<(reason: string) => void>>();
  readonly #timer: NodeJS.Timeout;
  #looking = false;

  /**
   * @param open templates of the routes that need no key.
   * @param isReady whether keys can be checked: before, nobody's is.
   */
  constructor(
    records: AccessRecords,
    open: readonly string[],
    log: Log,
    isReady: () => boolean = () => true,
  ) {
    this.#records = records;
    this.#isReady = isReady;
    this.#open = new Set(open);
    this.#log = log;
    this.authenticator = new Authenticator(records, log);
    this.#timer = setInterval(() => void this.#look(), WATCH_MS).unref();
  }

  /** A page's assets, below its own path, are as open as the page. */
  isOpen(path: string): boolean {
    let isOpen = this.#answers.get(path);
    if (isOpen === undefined) {
      isOpen = this.#open.has(path) || this.#open.has(path.replace(/\/:[^/]*(\{[^}]*\})?$/, ""));
      this.#answers.set(path, isOpen);
    }
    return isOpen;
  }

  authenticate(credential: string | undefined): Principal | Promise<Principal> {
    const { refusals } = this;
    if (!this.#isReady()) throw notChecked();
    return refusals.checking(
      "unauthenticated",
      () => (credential && this.authenticator.known(credential)) || this.#ask(credential),
    );
  }

  #ask(credential: string | undefined): Promise<Principal> {
    const asking = this.authenticator.authenticate(credential);
    return this.refusals.counting("unauthenticated", "UNAUTHENTICATED", asking);
  }

  allows(principal: Principal | undefined, model: string): boolean {
    const role = principal && this.authenticator.roleOf(principal);
    return role === undefined || allowsModel(role, model);
  }

  checkModel(principal: Principal | undefined, model: string): void {
    const role = principal && this.authenticator.roleOf(principal);
    if (principal === undefined || role === undefined) return;
    this.refusals.checking("model", () => checkModel(principal, role, model));
  }

  hold({ id }: Principal, cancel: (reason: string) => void): () => void {
    const cancels = this.#held.get(id) ?? new Set();
    cancels.add(cancel);
    this.#held.set(id, cancels);
    return () => {
      cancels.delete(cancel);
      if (cancels.size === 0) this.#held.delete(id);
    };
  }

  /** Keys or roles changed: what is known of them is asked anew, and work under way is looked at now. */
  refresh(): void {
    this.authenticator.forget();
    void this.#look();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#held.size === 0 || this.#looking) return;
    this.#looking = true;
    try {
      for (const id of await inTime(this.#records.ended([...this.#held.keys()]))) this.#end(id);
    } catch (err) {
      this.#log.debug({ err }, "the keys of work under way could not be looked at");
    } finally {
      this.#looking = false;
    }
  }

  #end(id: string): void {
    const cancels = this.#held.get(id) ?? [];
    this.#log.info({ key: id }, "the work of a key that ended is cancelled");
    for (const cancel of cancels) cancel(`Key '${id}' was revoked or has expired`);
  }
}
