/** How long a request waits for the database before it goes on without it. */
export const PATIENCE_MS = 2000;

/** As `work`, or a rejection when that takes longer than {@link PATIENCE_MS}; the work goes on then. */
export async function inTime<T>(work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no answer in ${PATIENCE_MS} ms`)), PATIENCE_MS);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}
