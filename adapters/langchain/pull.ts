/**
 * The items of a stream, each awaited inside of `enter`, since a generator's body runs where its `next` is called.
 * An abort is raised here: a node or a tool may not listen to it.
 */
export async function* pull(
  start: () => Promise<AsyncIterable<unknown>>,
  enter: <T>(step: () => T) => T,
  signal: AbortSignal,
): AsyncGenerator<unknown> {
  using abortable = new Abortable(signal);
  const opening = enter(start);
  let items: AsyncIterator<unknown> | undefined;
  try {
    const stream = await abortable.wait(opening);
    items = stream[Symbol.asyncIterator]();
    const { next } = items;
    const step = () => next.call(items) as Promise<IteratorResult<unknown>>;
    for (;;) {
      const { done, value } = await abortable.wait(enter(step));
      if (done) break;
      yield value;
    }
    signal.throwIfAborted();
  } finally {
    // Not awaited: a node that does not listen to its signal goes on for as long as it likes.
    if (items === undefined) opening.then((late) => leave(late[Symbol.asyncIterator]()), ignore);
    else void enter(() => leave(items!));
  }
}

/** Whoever asked has gone, so that nobody is left to hear of an error. */
const ignore = () => {};

async function leave(items: AsyncIterator<unknown>): Promise<void> {
  await items.return?.().catch(ignore);
}

/** The result of work, or the signal's reason as soon as it aborts. */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  using abortable = new Abortable(signal);
  return await abortable.wait(work);
}

/** Waits for one thing after the other, until a signal aborts. */
class Abortable implements Disposable {
  readonly #signal: AbortSignal;
  #reject: (reason: unknown) => void = ignore;
  readonly #abort = () => this.#reject(this.#signal.reason);

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener("abort", this.#abort, { once: true });
  }

  wait<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      work.then(resolve, reject);
      if (this.#signal.aborted) this.#abort();
    });
  }

  [Symbol.dispose](): void {
    this.#signal.removeEventListener("abort", this.#abort);
  }
}
