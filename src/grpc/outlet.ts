import type { DuplexStream, OutgoingStream } from "./exchange.ts";

/** What may wait in memory for a client to read it, on each stream. One message may be larger by itself. */
const MAX_WAITING_BYTES = 256 * 1024;
const MAX_WAITING_MESSAGES = 16;

/**
 * The sending side of a stream. A client that does not read stops the sender here, and with it the model:
 * Node itself would buffer without end.
 */
export class Outlet {
  readonly #stream: OutgoingStream | DuplexStream;
  readonly #over: AbortSignal | undefined;
  #waitingBytes = 0;
  #waitingMessages = 0;
  #change: PromiseWithResolvers<void> | undefined;

  /** @param over aborts when nothing more is to be sent. */
  constructor(stream: OutgoingStream | DuplexStream, over?: AbortSignal) {
    this.#stream = stream;
    this.#over = over;
    const changed = () => this.#changed();
    over?.addEventListener("abort", changed);
    stream.once("close", () => {
      over?.removeEventListener("abort", changed);
      changed();
    });
  }

  /** False once the client is gone, the stream has ended, or nothing more is to be sent. */
  get open(): boolean {
    if (this.#over?.aborted) return false;
    return !this.#stream.cancelled && !this.#stream.destroyed && !this.#stream.writableEnded;
  }

  /** Waits until there is room, and sends. Gives false when there is nobody to send it to. */
  async write(message: Buffer): Promise<boolean> {
    while (this.open && this.#full) await this.#nextChange();
    if (!this.open) return false;
    this.#waitingBytes += message.length;
    this.#waitingMessages += 1;
    this.#stream.write(message, () => {
      this.#waitingBytes -= message.length;
      this.#waitingMessages -= 1;
      this.#changed();
    });
    return true;
  }

  get #full(): boolean {
    return this.#waitingMessages >= MAX_WAITING_MESSAGES || this.#waitingBytes >= MAX_WAITING_BYTES;
  }

  #nextChange(): Promise<void> {
    this.#change ??= Promise.withResolvers();
    return this.#change.promise;
  }

  #changed(): void {
    this.#change?.resolve();
    this.#change = undefined;
  }
}
