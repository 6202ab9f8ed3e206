/** Work under way for one request. */
export interface RunningCall {
  readonly requestId: string;
  /** Address of the caller. Without access control this is what tells one caller from another. */
  readonly address: string;
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

  /** Cancels what has this request id and belongs to the caller at `address`; false when there is nothing. */
  cancel(requestId: string, address: string): boolean {
    const own = [...this.#calls].filter((call) => call.requestId === requestId && call.address === address);
    for (const call of own) call.cancel("The caller cancelled the request");
    return own.length > 0;
  }

  cancelAll(reason: string): void {
    for (const call of this.#calls) call.cancel(reason);
  }
}
