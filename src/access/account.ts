import type { CallRecord } from "../contracts/index.ts";
import type { Estimate } from "./estimate.ts";
import type { Wanted } from "./limits/limits.ts";

/** How a piece of work ended: `left` by its caller, who does not learn what the prompt cost. */
export type Ending = "answered" | "left" | "failed";

/** Tokens in and out. */
export interface Used {
  readonly requests: number;
  readonly input: number;
  readonly output: number;
}

/**
 * What one request takes and uses. Its body may hold several prompts, whose work shares the request's record: they are
 * one request of the limits, and each is charged what the record gained. A request that failed and used nothing is none.
 */
export class Account {
  readonly #record: CallRecord;
  #input = 0;
  #output = 0;
  #underWay = 0;
  #begun = false;
  #counted = false;
  #admitted: Promise<unknown> = Promise.resolve();
  #leave: (() => void)[] = [];

  constructor(record: CallRecord) {
    this.#record = record;
  }

  /** What the next piece of work wants. One prompt after the other: the request keeps the place that it had. */
  begin({ prompt, output }: Estimate): Wanted {
    const place = this.#underWay > 0 ? "none" : this.#begun ? "kept" : "new";
    const requests = this.#begun ? 0 : 1;
    this.#begun = true;
    this.#underWay += 1;
    return { requests, place, tokens: prompt + output };
  }

  /**
   * The work begins when its share was taken; that of other prompts of the request waits for the first, and is refused
   * with it.
   * @param leave of what was taken is called when no work of the request is under way any more.
   */
  async admit<T extends { readonly leave: () => void }>({ requests }: Wanted, take: () => Promise<T>) {
    const taking = requests > 0 ? take() : this.#admitted.then(take);
    if (requests > 0) this.#admitted = taking;
    const taken = await taking;
    this.#leave.push(taken.leave);
    return taken;
  }

  /** The work is over, or was refused. Returns whether the request is over with it, and was none. */
  end(): boolean {
    this.#underWay -= 1;
    if (this.#underWay > 0) return false;
    for (const leave of this.#leave.splice(0)) leave();
    const none = this.#begun && !this.#counted;
    if (none) this.#begun = false;
    return none;
  }

  /**
   * @param charged where the model told nothing. A kept answer costs nothing.
   */
  used(ending: Ending, { prompt }: Estimate, charged?: Estimate): Used {
    const record = this.#record;
    const toldInput = (record.inputTokens ?? 0) > this.#input;
    const toldOutput = (record.outputTokens ?? 0) > this.#output;
    if (record.cache !== "hit") {
      if (ending === "answered" && charged && !toldInput && !toldOutput) this.#tell(charged);
      if (ending === "left" && !toldInput && record.version !== undefined) this.#tell({ prompt, output: 0 });
    }
    const input = (record.inputTokens ?? 0) - this.#input;
    const output = (record.outputTokens ?? 0) - this.#output;
    const isNone = this.#counted || (ending === "failed" && input + output === 0);
    if (!isNone) this.#counted = true;
    this.#input += input;
    this.#output += output;
    return { requests: isNone ? 0 : 1, input, output };
  }

  #tell({ prompt, output }: Estimate): void {
    const record = this.#record;
    if (prompt > 0) record.inputTokens = (record.inputTokens ?? 0) + prompt;
    if (output > 0) record.outputTokens = (record.outputTokens ?? 0) + output;
  }
}
