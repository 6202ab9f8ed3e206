import { type Share, sumOf } from "./share.ts";

/** Takes a share; false where there is not enough left for it. */
type Take = (share: Share) => Promise<boolean>;

interface Waiting {
  readonly share: Share;
  readonly resolve: (taken: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Shares of the same month that are wanted in one turn of the event loop are taken together, by one statement: it costs
 * more than a request to a small model. Where that is too much, each is taken by itself, in order.
 */
export class JoinedTakes {
  readonly #open = new Map<string, Waiting[]>();

  /** @param id the same for takes that may be joined: they must mean the same for the same share. */
  take(id: string, share: Share, take: Take): Promise<boolean> {
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    this.#openOf(id, take).push({ share, resolve, reject });
    return promise;
  }

  #openOf(id: string, take: Take): Waiting[] {
    const known = this.#open.get(id);
    if (known !== undefined) return known;
    const opened: Waiting[] = [];
    this.#open.set(id, opened);
    setImmediate(() => {
      this.#open.delete(id);
      void takeAll(opened, take);
    });
    return opened;
  }
}

async function takeAll(waiting: readonly Waiting[], take: Take): Promise<void> {
  try {
    const taken = await take(waiting.map(({ share }) => share).reduce(sumOf));
    if (!taken && waiting.length > 1) return await takeEach(waiting, take);
    for (const { resolve } of waiting) resolve(taken);
  } catch (error) {
    for (const { reject } of waiting) reject(error);
  }
}

async function takeEach(waiting: readonly Waiting[], take: Take): Promise<void> {
  for (const { share, resolve, reject } of waiting) await take(share).then(resolve, reject);
}
