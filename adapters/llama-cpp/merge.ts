/** What several iterators yield, as it comes. The first failure ends all; so does leaving the loop. */
export async function* merge<T>(sources: readonly AsyncGenerator<T>[]): AsyncGenerator<T> {
  const next = async (source: AsyncGenerator<T>) => ({ source, result: await source.next() });
  const waiting = new Map(sources.map((source) => [source, next(source)]));
  try {
    while (waiting.size > 0) {
      const { source, result } = await Promise.race(waiting.values());
      if (result.done === true) waiting.delete(source);
      else {
        yield result.value;
        waiting.set(source, next(source));
      }
    }
  } finally {
    for (const [source, pending] of waiting) {
      pending.catch(() => {});
      source.return(undefined).catch(() => {});
    }
  }
}
