import { LRUCache } from "lru-cache";
import { CapstanError, type Log, type Principal } from "../contracts/index.ts";
import { inTime, PATIENCE_MS } from "./in-time.ts";
import { hashOf } from "./key.ts";
import type { AccessRecords, Grant } from "./records.ts";
import type { Role } from "./role.ts";

/** A revoked key is refused within a second on every replica: none of them believes for longer than this. */
const BELIEVED_MS = 500;
/** How long known keys are believed while the database does not answer. */
const TRUSTED_WITHOUT_DATABASE_MS = 10 * 60 * 1000;
/** After a failure nobody waits for the database for so long: it is asked beside the requests. */
const AWAY_MS = PATIENCE_MS + 1000;
const MOST_KEYS = 10_000;
/** Keys that are not known are anybody's; they must not take the place of those that are. */
const MOST_UNKNOWN = 1000;

/** A key that the database knew. */
interface Known {
  readonly grant: Grant;
  readonly principal: Principal;
  /** When the database said so. */
  readonly at: number;
  /** Until when it is not asked again. */
  readonly until: number;
}

/** Tells whose a key is, and asks the database at most twice a second for each. */
export class Authenticator {
  readonly #records: AccessRecords;
  readonly #log: Log;
  readonly #known = new LRUCache<string, Known>({ max: MOST_KEYS });
  readonly #unknown = new LRUCache<string, true>({ max: MOST_UNKNOWN, ttl: BELIEVED_MS });
  readonly #asking = new Map<string, Promise<Known>>();
  readonly #roles = new WeakMap<Principal, Role>();
  #warned = false;
  #failedAt = 0;

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
    if (this.#unknown.has(hash)) throw notKnown();
    return principalOf(this.#believed(hash, key) ?? (await this.#ask(hash, key)));
  }

  /** As {@link authenticate}, at once, for a key that need not be asked for; undefined for any other. */
  known(key: string): Principal | undefined {
    const known = this.#known.get(hashOf(key));
    return known !== undefined && Date.now() < known.until ? principalOf(known) : undefined;
  }

  /** The role of a principal that {@link authenticate} gave. */
  roleOf(principal: Principal): Role | undefined {
    return this.#roles.get(principal);
  }

  /** What is known of every key is asked anew; while the database is away it is still believed. */
  forget(): void {
    this.#unknown.clear();
    for (const [hash, known] of [...this.#known.entries()]) this.#known.set(hash, { ...known, until: 0 });
  }

  /** A key that need not be asked for, or that the database would not answer for. */
  #believed(hash: string, key: string): Known | undefined {
    const known = this.#known.get(hash);
    if (known === undefined) return undefined;
    const now = Date.now();
    if (now < known.until) return known;
    if (now - this.#failedAt > AWAY_MS || now - known.at > TRUSTED_WITHOUT_DATABASE_MS) return undefined;
    this.#ask(hash, key).catch(() => {});
    return known;
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
    const asked = Date.now();
    const grant = await inTime(this.#records.grantOf(key)).catch((cause) => this.#believe(hash, cause));
    if (grant === undefined) {
      this.#known.delete(hash);
      this.#unknown.set(hash, true);
      throw notKnown();
    }
    if (isKnown(grant)) return grant;
    this.#warned = false;
    this.#failedAt = 0;
    const known = { grant, principal: this.#principal(grant), at: asked, until: asked + BELIEVED_MS };
    this.#known.set(hash, known);
    return known;
  }

  /**
   * A key from when the database answered.
   * @throws CapstanError NOT_READY
   */
  #believe(hash: string, cause: unknown): Known {
    if (!this.#warned)
      this.#log.error({ err: cause }, "the database of keys does not answer; known keys are believed");
    this.#warned = true;
    const before = this.#known.get(hash);
    const now = Date.now();
    this.#failedAt = now;
    if (before === undefined || now - before.at >= TRUSTED_WITHOUT_DATABASE_MS) {
      throw notChecked(cause);
    }
    const known = { ...before, until: now + BELIEVED_MS };
    this.#known.set(hash, known);
    return known;
  }

  #principal({ key, role }: Grant): Principal {
    const principal = { id: key.id, role: role.name, admin: role.admin };
    this.#roles.set(principal, role);
    return principal;
  }
}

/** @throws CapstanError UNAUTHENTICATED for a key that has ended. */
function principalOf({ grant, principal }: Known): Principal {
  const { id, expiresAt, revokedAt } = grant.key;
  if (revokedAt !== null) throw unauthenticated(`Key '${id}' is revoked`);
  if (expiresAt !== null && expiresAt <= Date.now()) throw unauthenticated(`Key '${id}' has expired`);
  return principal;
}

const isKnown = (found: Grant | Known): found is Known => "principal" in found;

export const notChecked = (cause?: unknown): CapstanError =>
  new CapstanError("NOT_READY", "Keys cannot be checked now: their database does not answer", { cause });
const unauthenticated = (message: string) => new CapstanError("UNAUTHENTICATED", message);
const notKnown = () => unauthenticated("The key is not known");
