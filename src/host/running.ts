/** Work under way for one request. */
export interface RunningCall {
  readonly requestId: string;
  /** Who asked for it. */
  readonly owner: string;
  cancel(reason: string): void;
}

/** Calls under way in other processes that serve the same callers. */
export interface RunningElsewhere {
  /**
   * Whether one of them had the owner's call, and cancelled it.
   * @throws CapstanError NOT_READY when they cannot be asked.
   */
  cancel(requestId: string, owner: string): Promise<boolean>;
}

/** The calls under way in this process. */
export class RunningCalls {
  readonly #calls = new Set<RunningCall>();
  /** Absent where there is one process. */
  elsewhere: RunningElsewhere | undefined;

  add(call: RunningCall): void {
    this.#calls.add(call);
  }

  delete(call: RunningCall): void {
    this.#calls.delete(call);
  }

  /**
   * Cancels what has this request id and belongs to `owner`, wherever it is; false when there is nothing.
   * @throws CapstanError NOT_READY when it is not here, and the others cannot be asked.
   */
  async cancel(requestId: string, owner: string): Promise<boolean> {
    return this.cancelHere(requestId, owner) || ((await this.elsewhere?.cancel(requestId, owner)) ?? false);
  }

  /** As {@link cancel}, in this process. */
  cancelHere(requestId: string, owner: string): boolean {
    const own = [...this.#calls].filter((call) => call.requestId === requestId && call.owner === owner);
    for (const call of own) call.cancel("The caller cancelled the request");
    return own.length > 0;
  }

  cancelAll(reason: string): void {
    for (const call of this.#calls) call.cancel(reason);
  }
}
