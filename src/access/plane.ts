import {
  type Call,
  type CallRecord,
  type ChatRequest,
  type InferRequest,
  type Principal,
  toCapstanError,
} from "../contracts/index.ts";
import { PlaneLayer } from "../host/plane-layer.ts";
import type { DataPlane, ModelResponse } from "../host/types.ts";
import { Account, type Ending } from "./account.ts";
import type { Authenticator } from "./authenticator.ts";
import {
  chatEstimate,
  chatWithinRole,
  type Estimate,
  NO_TOKENS,
  passthroughEstimate,
  passthroughWithinRole,
  tensorEstimate,
  tensorsWithinRole,
  tokensIn,
} from "./estimate.ts";
import type { Limits, Taken } from "./limits/limits.ts";
import type { Refusals } from "./refusals.ts";
import { checkModel, type Role } from "./role.ts";
import { type Told, whenTold } from "./told-usage.ts";
import type { Usage } from "./usage.ts";

export interface AccessParts {
  readonly authenticator: Authenticator;
  readonly limits: Limits;
  readonly usage: Usage;
  readonly refusals: Refusals;
}

/** Who asks, as its role has it. */
interface Asker {
  readonly principal: Principal;
  readonly role: Role;
}

/** Work that took its share of the limits, until it is over. */
interface Work {
  over(ending: Ending, charged?: Estimate): void;
}

/** On a request's record: a WeakMap of records costs the garbage collector more than the account does. */
const ACCOUNT = Symbol("account");
type AccountedRecord = CallRecord & { [ACCOUNT]?: Account };

/** A data plane for callers with keys: their roles say which models they may use, and how much. */
export class AccessPlane extends PlaneLayer {
  readonly #parts: AccessParts;

  constructor(next: DataPlane, parts: AccessParts) {
    super(next);
    this.#parts = parts;
  }

  override infer(model: string, version: string | undefined, request: InferRequest, call: Call) {
    const asker = this.#asker(model, call);
    if (asker === undefined) return this.next.infer(model, version, request, call);
    const { asked, estimate } = this.#tensors(model, request, asker);
    const charged = { prompt: estimate.prompt, output: 0 };
    return this.#once(asker, estimate, call, () => this.next.infer(model, version, asked, call), charged);
  }

  override inferStream(
    model: string,
    version: string | undefined,
    request: InferRequest,
    call: Call,
  ): AsyncIterable<ModelResponse> {
    const asker = this.#asker(model, call);
    if (asker === undefined) return this.next.inferStream(model, version, request, call);
    const { asked, estimate } = this.#tensors(model, request, asker);
    return this.#stream(asker, estimate, call, () => this.next.inferStream(model, version, asked, call));
  }

  override chat(model: string, version: string | undefined, request: ChatRequest, call: Call) {
    const asker = this.#asker(model, call);
    if (asker === undefined) return this.next.chat(model, version, request, call);
    const asked = chatWithinRole(request, asker.role);
    const estimate = chatEstimate(asked, asker.role);
    return this.#stream(asker, estimate, call, () => this.next.chat(model, version, asked, call));
  }

  override embed(model: string, version: string | undefined, texts: readonly string[], call: Call) {
    const work = () => this.next.embed(model, version, texts, call);
    const asker = this.#asker(model, call);
    if (asker === undefined) return work();
    const estimate = { prompt: texts.reduce((sum, text) => sum + tokensIn(text), 0), output: 0 };
    return this.#once(asker, estimate, call, work, estimate);
  }

  override tokenize(model: string, version: string | undefined, text: string, call: Call) {
    const work = () => this.next.tokenize(model, version, text, call);
    const asker = this.#asker(model, call);
    return asker === undefined ? work() : this.#once(asker, NO_TOKENS, call, work);
  }

  /** The work is over when the answer was read. */
  override async passthrough(
    model: string,
    version: string | undefined,
    route: string,
    body: unknown,
    call: Call,
  ) {
    const asker = this.#asker(model, call);
    if (asker === undefined) return this.next.passthrough(model, version, route, body, call);
    const asked = passthroughWithinRole(route, body, asker.role);
    const estimate = passthroughEstimate(route, asked, asker.role);
    const work = await this.#begin(asker, estimate, call);
    try {
      const response = await this.next.passthrough(model, version, route, asked, call);
      return whenTold(response, (told) => {
        if (response.ok) work.over("answered", chargeOf(told, estimate));
        else work.over("failed");
      });
    } catch (error) {
      work.over(endingOf(error));
      throw error;
    }
  }

  /** @throws CapstanError PERMISSION_DENIED for a model that the caller's role does not have. */
  #asker(model: string, { principal }: Call): Asker | undefined {
    const role = principal && this.#parts.authenticator.roleOf(principal);
    if (principal === undefined || role === undefined) return undefined;
    this.#parts.refusals.checking("model", () => checkModel(principal, role, model));
    return { principal, role };
  }

  #tensors(model: string, request: InferRequest, { role }: Asker) {
    if (!this.#speaks(model)) return { asked: request, estimate: NO_TOKENS };
    const asked = tensorsWithinRole(request, role);
    return { asked, estimate: tensorEstimate(asked, role) };
  }

  #speaks(model: string): boolean {
    return this.next.languageModel(model) !== undefined;
  }

  async #once<T>(
    asker: Asker,
    estimate: Estimate,
    call: Call,
    answer: () => Promise<T>,
    charged?: Estimate,
  ): Promise<T> {
    const work = await this.#begin(asker, estimate, call);
    try {
      const answered = await answer();
      work.over("answered", charged);
      return answered;
    } catch (error) {
      work.over(endingOf(error));
      throw error;
    }
  }

  async *#stream<T>(
    asker: Asker,
    estimate: Estimate,
    call: Call,
    answer: () => AsyncIterable<T>,
  ): AsyncGenerator<T> {
    const work = await this.#begin(asker, estimate, call);
    let ending: Ending = "left";
    try {
      yield* answer();
      ending = "answered";
    } catch (error) {
      ending = endingOf(error);
      throw error;
    } finally {
      work.over(ending);
    }
  }

  /** Takes the work's share of the limits. */
  async #begin({ principal, role }: Asker, estimate: Estimate, call: Call): Promise<Work> {
    const { record = {} } = call;
    const account = this.#account(record);
    const note = (headers: CallRecord["headers"]) => {
      record.headers = { ...record.headers, ...headers };
    };
    const wanted = account.begin(estimate);
    let taken: Taken;
    try {
      taken = await account.admit(wanted, () => this.#parts.limits.take(principal.id, role, wanted, note));
    } catch (error) {
      account.end();
      throw error;
    }
    let isOver = false;
    return {
      over: (ending, charged) => {
        if (isOver) return;
        isOver = true;
        const used = account.used(ending, estimate, charged);
        taken.settle(used.input + used.output, account.end());
        // The name of a model that is not there would be a row of the caller's making.
        if (record.model !== undefined) this.#parts.usage.add(principal.id, record.model, used);
      },
    };
  }

  #account(record: AccountedRecord): Account {
    record[ACCOUNT] ??= new Account(record);
    return record[ACCOUNT];
  }
}

/** Where an upstream does not tell, what it may have used; of an answer that was left, a token for each piece. */
function chargeOf({ usage, pieces, whole }: Told, estimate: Estimate): Estimate {
  return usage ?? (whole ? estimate : { ...estimate, output: Math.min(pieces, estimate.output) });
}

function endingOf(error: unknown): Ending {
  const { code } = toCapstanError(error);
  return code === "CANCELLED" || code === "DEADLINE_EXCEEDED" ? "left" : "failed";
}
