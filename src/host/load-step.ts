/** Where a load is: what the registry says, the settings, the files, the runtime itself, the folder's own cases. */
export type LoadStep = "locate" | "settings" | "fetch" | "load" | "cases";

const failedAt = new WeakMap<object, LoadStep>();

/** Does a step of a load, and notes at what it throws that it was this one; a step inside another one counts. */
export async function during<T>(step: LoadStep, work: () => Promise<T> | T): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    if (typeof thrown === "object" && thrown !== null && !failedAt.has(thrown)) failedAt.set(thrown, step);
    throw thrown;
  }
}

/** The step that a load failed at. */
export function stepOf(thrown: unknown): LoadStep {
  for (let each = thrown; typeof each === "object" && each !== null; each = (each as Error).cause) {
    const step = failedAt.get(each);
    if (step !== undefined) return step;
  }
  return "load";
}
