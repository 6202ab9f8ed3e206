/**
 * The items of an output, each awaited inside of `enter`, since a generator's body runs where its `next` is called.
 * @param start makes an iterable, or one item, or a promise of either.
 * @param stopped rejects when nobody waits any longer: LlamaIndex ends its loop without a word when its model was
 * aborted, and a tool may not listen at all.
 */
export async function* pull(
  start: () => unknown,
  enter: <T>(step: () => T) => T,
  stopped: Promise<never>,
): AsyncGenerator<unknown> {
  const output = await Promise.race([enter(start), stopped]);
  if (!isIterable(output)) {
    yield output;
    return;
  }
  const items = output[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await Promise.race([enter(() => items.next()), stopped]);
      if (next.done) return;
      yield next.value;
    }
  } finally {
    // Not awaited: a generator that waits for its model ends when the model is closed.
    void Promise.resolve(enter(() => items.return?.())).catch(() => {});
  }
}

function isIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}
