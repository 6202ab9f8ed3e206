import { randomUUID } from "node:crypto";
import { type ChatRequest, type CompletionChoice, toCapstanError } from "../../../contracts/index.ts";
import { answerMessage, type Outcome, type ResponseObject, responseObject } from "./answer.ts";
import type { ResponseBody } from "./request.ts";
import type { ResponseStore } from "./store.ts";

export interface MakingParts {
  readonly model: string;
  readonly owner: string;
  readonly body: ResponseBody;
  readonly request: ChatRequest;
  readonly store: ResponseStore;
  /** Stops the work. */
  readonly cancel: () => void;
}

/** One response from its first event to its last; it is kept unless the caller does not want that. */
export class Making {
  readonly itemId = randomUUID().replaceAll("-", "");
  readonly #parts: MakingParts;
  readonly #created = Math.floor(Date.now() / 1000);
  #finished = false;

  constructor(parts: MakingParts) {
    this.#parts = parts;
    this.#keep(this.response({ status: "in_progress", output: [] }), [], parts.cancel);
  }

  get id(): string {
    return `resp_${this.itemId}`;
  }

  response(outcome: Outcome): ResponseObject {
    const { model, body } = this.#parts;
    return responseObject(this.id, this.#created, model, body, outcome);
  }

  /** The finished response. The next one of the conversation begins with what was said, without the instructions. */
  finish(outcome: Outcome, choice?: CompletionChoice): ResponseObject {
    const { request, body } = this.#parts;
    this.#finished = true;
    const response = this.response(outcome);
    const said = (request.messages ?? []).slice(body.instructions === undefined ? 0 : 1);
    this.#keep(response, choice === undefined ? said : [...said, answerMessage(choice)]);
    return response;
  }

  /** The work ended with an error. */
  fail(thrown: unknown): void {
    const error = toCapstanError(thrown);
    if (error.code === "CANCELLED") this.finish({ status: "cancelled", output: [] });
    else this.finish({ status: "failed", output: [], error });
  }

  /** Nobody reads on: what is not finished now never will be. */
  leave(): void {
    if (!this.#finished) this.finish({ status: "cancelled", output: [] });
  }

  #keep(response: ResponseObject, messages: ChatRequest["messages"] = [], cancel?: () => void): void {
    const { store, owner, body } = this.#parts;
    if (body.store === false && body.background !== true) return;
    store.set({ owner, response, messages, ...(cancel === undefined ? {} : { cancel }) });
  }
}
