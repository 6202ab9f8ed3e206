/** One item of a sequence, and whether it showed to be the last. */
export interface Step<T> {
  readonly item: T;
  readonly last: boolean;
}

/**
 * Says which item is the last, without holding one back until the next: if the end does not show within one
 * turn of the event loop, the item goes out as "not the last". The source is asked for one item ahead.
 */
export async function* markLast<T>(source: AsyncIterable<T>): AsyncGenerator<Step<T>, void> {
  const iterator = source[Symbol.asyncIterator]();
  let open = true;
  try {
    for (let step = await iterator.next(); !step.done; ) {
      const following = iterator.next();
      yield { item: step.value, last: await endsAtOnce(following) };
      step = await following;
    }
    open = false;
  } catch (error) {
    open = false;
    throw error;
  } finally {
    // Not awaited: a source whose call was aborted ends by itself, and one that hangs must not hang us.
    if (open) iterator.return?.().catch(() => undefined);
  }
}

async function endsAtOnce(following: Promise<IteratorResult<unknown>>): Promise<boolean> {
  const { promise: turn, resolve } = Promise.withResolvers<false>();
  const immediate = setImmediate(resolve, false);
  const ended = following.then(
    ({ done }) => done === true,
    () => false,
  );
  const last = await Promise.race([ended, turn]);
  clearImmediate(immediate);
  return last;
}
