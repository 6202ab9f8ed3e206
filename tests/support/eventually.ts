/** Polls until `check` gives something other than undefined or false; fails after 10 s. */
export async function eventually<T>(
  check: () => Promise<T | undefined | false> | T | undefined | false,
): Promise<T> {
  const end = Date.now() + 10_000;
  for (;;) {
    const value = await check();
    if (value !== undefined && value !== false) return value as T;
    if (Date.now() > end) throw new Error("what was waited for did not happen within 10 s");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
