import { randomUUID } from "node:crypto";
import type { Call, ChatRequest, Message } from "../../src/contracts/index.ts";
import { type Application, remembers } from "./application.ts";
import { messagesOf } from "./input.ts";
import { isObject } from "./messages.ts";

/** A conversation as LangGraph knows it. A graph without a checkpointer remembers nothing of it. */
export class Thread {
  /** Of its owner: the same session of another is another thread. One that the caller did not name is new. */
  readonly id: string;
  readonly #application: Application;
  readonly #request: ChatRequest;

  constructor(application: Application, request: ChatRequest, { principal }: Call) {
    const session = request.session ?? randomUUID();
    this.id = principal === undefined ? session : `${principal.id}/${session}`;
    this.#application = application;
    this.#request = request;
  }

  /**
   * The messages that the graph does not remember: where it knows the thread, those after the last answer.
   * @param config of the request.
   */
  async news(config: object): Promise<readonly Message[]> {
    const messages = messagesOf(this.#request);
    const last = messages.findLastIndex(({ role }) => role === "assistant");
    if (last < 0 || this.#request.session === undefined || !remembers(this.#application)) return messages;
    const { values } = (await this.#application.graph!.getState?.(config)) ?? {};
    const isKnown = isObject(values) && Object.keys(values).length > 0;
    return isKnown ? messages.slice(last + 1) : messages;
  }

  /** Nobody can ask again for a thread without a name, so its checkpoints are deleted. */
  async forget(): Promise<void> {
    if (this.#request.session !== undefined || !remembers(this.#application)) return;
    const checkpointer = this.#application.graph!.checkpointer as {
      deleteThread?(id: string): Promise<void>;
    };
    await checkpointer.deleteThread?.(this.id);
  }
}
