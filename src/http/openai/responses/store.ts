import { LRUCache } from "lru-cache";
import { CapstanError, type Message } from "../../../contracts/index.ts";
import type { ResponseObject } from "./answer.ts";

const LONGEST_MS = 60 * 60 * 1000;
const MOST = 10_000;
const MOST_CHARACTERS = 64 * 1024 * 1024;

/** A response that may be asked for again. */
export interface StoredResponse {
  readonly owner: string;
  readonly response: ResponseObject;
  /** The conversation so far, with the answer; a response that goes on from this one begins with it. */
  readonly messages: readonly Message[];
  /** Present while the answer is being made. */
  readonly cancel?: () => void;
}

/** The responses of the last hour, in this process. The oldest go first when there are too many. */
export class ResponseStore {
  readonly #responses = new LRUCache<string, StoredResponse>({
    max: MOST,
    ttl: LONGEST_MS,
    maxSize: MOST_CHARACTERS,
    sizeCalculation: ({ response, messages }) => JSON.stringify([response, messages]).length,
  });

  set(stored: StoredResponse): void {
    this.#responses.set(stored.response.id, stored);
  }

  delete(id: string): void {
    this.#responses.delete(id);
  }

  /** @throws CapstanError NOT_FOUND, also for a response of another caller. */
  get(id: string, owner: string): StoredResponse {
    const found = this.#responses.get(id);
    if (found !== undefined && found.owner === owner) return found;
    throw new CapstanError(
      "NOT_FOUND",
      `There is no response '${id}' of yours: they are kept for an hour, and not when 'store' is false`,
    );
  }
}
