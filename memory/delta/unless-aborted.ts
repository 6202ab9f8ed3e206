/**
 * Rejects with the reason as soon as the signal aborts; the work itself goes on.
 * @param signal has not aborted yet.
 */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  work.finally(() => signal.removeEventListener("abort", abort)).then(resolve, reject);
  return promise;
}
