export interface BreakerOptions {
  /** Failures in a row after which the address is left alone. */
  readonly failures: number;
  /** Milliseconds for which it is. */
  readonly cooldown: number;
}

/**
 * A circuit breaker: open after so many failures in a row, and half open when the cooldown has passed, which
 * lets one request through at a time.
 */
export class Breaker {
  readonly #options: BreakerOptions;
  #failures = 0;
  #failedAt = 0;
  #restUntil = 0;
  #probe: object | undefined;

  constructor(options: BreakerOptions) {
    this.#options = options;
  }

  /** False while requests must not be sent. */
  get allows(): boolean {
    return !this.#tripped || (this.#cooled && this.#probe === undefined);
  }

  /** False for an address that failed or asked for rest lately: others are better. */
  get healthy(): boolean {
    return (this.#failures === 0 || this.#cooled) && performance.now() >= this.#restUntil;
  }

  /** Milliseconds until an open breaker lets a request through; 0 while one is under way. */
  get reopensIn(): number {
    return Math.max(0, Math.ceil(this.#failedAt + this.#options.cooldown - performance.now()));
  }

  /** A request goes out; `request` is any object that stands for it until {@link end}. */
  begin(request: object): void {
    if (this.#tripped) this.#probe = request;
  }

  /** A request is over, whatever came of it. */
  end(request: object): void {
    if (this.#probe === request) this.#probe = undefined;
  }

  /** An answer begins, which closes the breaker; one more failure opens it again. */
  answered(): void {
    if (this.#tripped) this.#failures = this.#options.failures - 1;
  }

  /** An answer is complete. */
  succeeded(): void {
    this.answered();
    this.#failures = 0;
  }

  failed(): void {
    this.#failures += 1;
    this.#failedAt = performance.now();
  }

  /** The upstream said when to come back. */
  rest(milliseconds: number): void {
    this.#restUntil = performance.now() + milliseconds;
  }

  get #tripped(): boolean {
    return this.#failures >= this.#options.failures;
  }

  get #cooled(): boolean {
    return performance.now() >= this.#failedAt + this.#options.cooldown;
  }
}
