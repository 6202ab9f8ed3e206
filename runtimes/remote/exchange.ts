import { setTimeout as delay } from "node:timers/promises";
import { type Call, CapstanError } from "../../src/contracts/index.ts";

/** Starts the work and returns what cancels it. */
type Start<T> = (resolve: (value: T) => void, reject: (reason: unknown) => void) => () => void;

/** How long one exchange with a backend may take. */
export interface Limit {
  /** Names the model and the address. */
  readonly where: string;
  readonly timeoutMs: number;
}

/**
 * One exchange with a backend: it ends with an answer, with the call's own end, or with the time limit, and
 * in the latter two the backend is told at once.
 * @throws CapstanError DEADLINE_EXCEEDED when the limit passes; `call.signal.reason` when the call ends.
 */
export function exchange<T>(call: Call, limit: Limit, start: Start<T>): Promise<T> {
  const { signal } = call;
  return new Promise<T>((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    };
    const stop = (reason: unknown): void => {
      end();
      reject(reason);
      cancel();
    };
    const onAbort = (): void => stop(signal.reason);
    const milliseconds = remainingMs(call, limit.timeoutMs);
    const timer = setTimeout(() => stop(timedOut(limit.where, milliseconds)), milliseconds);
    signal.addEventListener("abort", onAbort, { once: true });
    const fail = (reason: unknown): void => {
      end();
      reject(reason);
    };
    let cancel = (): void => {};
    try {
      cancel = start((value) => {
        end();
        resolve(value);
      }, fail);
    } catch (reason) {
      fail(reason);
    }
  });
}

/** The shorter of a limit and what is left until the caller's deadline, in milliseconds. */
export function remainingMs({ deadline }: Call, timeoutMs: number): number {
  return deadline === undefined ? timeoutMs : Math.max(0, Math.min(timeoutMs, deadline - Date.now()));
}

export function timedOut(where: string, milliseconds: number): CapstanError {
  return new CapstanError(
    "DEADLINE_EXCEEDED",
    `${where} did not answer within ${Math.round(milliseconds)} ms`,
  );
}

/** Waits, or rejects with the call's reason. */
export async function pause(milliseconds: number, { signal }: Call): Promise<void> {
  try {
    await delay(milliseconds, undefined, { signal });
  } catch {
    throw signal.reason;
  }
}
