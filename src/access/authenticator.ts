import { LRUCache } from "lru-cache";
import { CapstanError, type Log, type Principal } from "../contracts/index.ts";
import { hashOf } from "./key.ts";
import type { AccessRecords, Grant } from "./records.ts";
import type { Role } from "./role.ts";

/** A revoked key is refused within a second on every replica: none of them believes for longer than this. */
const BELIEVED_MS = 500;
/** How long known keys are believed while the database does not answer. */
const TRUSTED_WITHOUT_DATABASE_MS = 10 * 60 * 1000;
const MOST_KEYS = 10_000;

interface Known {
  readonly grant: Grant | undefined;
  readonly at: number;
}

/** Tells whose a key is, and asks the database at most twice a second for each. */
export class Authenticator {
  readonly #records: AccessRecords;
  readonly #log: Log;
  readonly #known = new LRUCache<string, Known>({ max: MOST_KEYS });
  readonly #asking = new Map<string, Promise<Known>>();
  readonly #roles = new WeakMap<Principal, Role>();
  readonly #principals = new LRUCache<string, { readonly grant: Grant; readonly principal: Principal }>({
    max: MOST_KEYS,
  });
  #warned = false;

  constructor(records: AccessRecords, log: Log) {
    this.#records = records;
    this.#log = log;
  }

  /** @throws CapstanError UNAUTHENTICATED saying why; NOT_READY when the database cannot be asked. */
  async authenticate(key: string | undefined): Promise<Principal> {
    if (key === undefined || key === "") {
      throw unauthenticated("A key is needed: send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'");
    }
    const hash = hashOf(key);
    const known = this.#known.get(hash);
    const { grant } =
      known !== undefined && Date.now() - known.at < BELIEVED_MS ? known : await this.#ask(hash, key);
    if (grant === undefined) throw unauthenticated("The key is not known");
    const { expiresAt, revokedAt } = grant.key;
    if (revokedAt !== null) throw unauthenticated(`Key '${grant.key.id}' is revoked`);
    if (expiresAt !== null && expiresAt <= Date.now())
      throw unauthenticated(`Key '${grant.key.id}' has expired`);
    return this.#principal(hash, grant);
  }

  /** The role of a principal that {@link authenticate} gave. */
  roleOf(principal: Principal): Role | undefined {
    return this.#roles.get(principal);
  }

  /** What is known of every key is asked anew. */
  forget(): void {
    this.#known.clear();
  }

  #ask(hash: string, key: string): Promise<Known> {
    let asking = this.#asking.get(hash);
    if (asking === undefined) {
      asking = this.#askOnce(hash, key).finally(() => this.#asking.delete(hash));
      this.#asking.set(hash, asking);
    }
    return asking;
  }

  async #askOnce(hash: string, key: string): Promise<Known> {
    const before = this.#known.get(hash);
    try {
      const known = { grant: await this.#records.grantOf(key), at: Date.now() };
      this.#known.set(hash, known);
      this.#warned = false;
      return known;
    } catch (cause) {
      if (!this.#warned)
        this.#log.error({ err: cause }, "the database of keys does not answer; known keys are believed");
      this.#warned = true;
      if (before?.grant !== undefined && Date.now() - before.at < TRUSTED_WITHOUT_DATABASE_MS) return before;
      throw new CapstanError("NOT_READY", "Keys cannot be checked now: their database does not answer", {
        cause,
      });
    }
  }

  /** The same object while nothing changes, so that its role is found by it. */
  #principal(hash: string, grant: Grant): Principal {
    const known = this.#principals.get(hash);
    if (known?.grant === grant) return known.principal;
    const principal = { id: grant.key.id, role: grant.role.name, admin: grant.role.admin };
    this.#roles.set(principal, grant.role);
    this.#principals.set(hash, { grant, principal });
    return principal;
  }
}

const unauthenticated = (message: string) => new CapstanError("UNAUTHENTICATED", message);
