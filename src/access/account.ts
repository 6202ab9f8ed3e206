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
 * one request of the limits, and each is charged what the record gained.
 */
export class Account {
  readonly #record: CallRecord;
  #input = 0;
  #output = 0;
  #underWay = 0;
  #begun = false;
  #counted = false;
  #leave: (() => void)[] = [];

  constructor(record: CallRecord) {
    this.#record = record;
  }

  /** What the next piece of work wants. */
  begin({ prompt, output }: Estimate): Wanted {
    const wanted = { requests: this.#begun ? 0 : 1, place: this.#underWay === 0, tokens: prompt + output };
    this.#begun = true;
    this.#underWay += 1;
    return wanted;
  }

  /** The work begins. @param leave is called when no work of the request is under way any more. */
  enter(leave: () => void): void {
    this.#leave.push(leave);
  }

  /** The work is over, or was refused. */
  end(): void {
    this.#underWay -= 1;
    if (this.#underWay > 0) return;
    for (const leave of this.#leave.splice(0)) leave();
  }

  /** @param charged instead of what the model told, where it tells nothing. */
  used(ending: Ending, { prompt }: Estimate, charged?: Estimate): Used {
    const record = this.#record;
    if (ending === "answered" && charged !== undefined) this.#tell(charged.prompt, charged.output);
    const input = record.inputTokens ?? 0;
    if (ending === "left" && input === this.#input && record.version !== undefined) this.#tell(prompt, 0);
    const used = {
      requests: this.#counted ? 0 : 1,
      input: (record.inputTokens ?? 0) - this.#input,
      output: (record.outputTokens ?? 0) - this.#output,
    };
    this.#counted = true;
    this.#input += used.input;
    this.#output += used.output;
    return used;
  }

  #tell(input: number, output: number): void {
    const record = this.#record;
    if (input > 0) record.inputTokens = (record.inputTokens ?? 0) + input;
    if (output > 0) record.outputTokens = (record.outputTokens ?? 0) + output;
  }
}
