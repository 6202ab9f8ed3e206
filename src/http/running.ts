/** Work under way for one request. */
export interface RunningCall {
  readonly requestId: string;
  /** Who asked for it. */
  readonly owner: string;
  cancel(reason: string): void;
}

/** The calls under way in this process. */
export class RunningCalls {
  readonly #calls = new Set<RunningCall>();

  add(call: RunningCall): void {
    this.#calls.add(call);
  }

  delete(call: RunningCall): void {
    this.#calls.delete(call);
  }

  /** Cancels what has this request id and belongs to `owner`; false when there is nothing. */
  cancel(requestId: string, owner: string): boolean {
    const own = [...this.#calls].filter((call) => call.requestId === requestId && call.owner === owner);
    for (const call of own) call.cancel("The caller cancelled the request");
    return own.length > 0;
  }

  cancelAll(reason: string): void {
    for (const call of this.#calls) call.cancel(reason);
  }
}
