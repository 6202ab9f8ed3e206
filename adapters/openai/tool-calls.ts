import { randomUUID } from "node:crypto";
import type { ToolCall } from "../../src/contracts/index.ts";
import { type JsonRecord, recordOf, recordsOf, textOf } from "./json.ts";

interface OpenCall {
  readonly index: unknown;
  id: string;
  name: string;
  arguments: string;
}

/** Puts the tool calls of one choice together: they come in pieces that their index holds together. */
export class ToolCalls {
  readonly #calls: OpenCall[] = [];

  add(deltas: unknown): void {
    for (const delta of recordsOf(deltas)) {
      const { name, arguments: text } = recordOf(delta.function);
      const call = this.#callOf(delta);
      call.id ||= textOf(delta.id);
      call.name ||= textOf(name);
      // Some upstreams send the arguments as an object, whole.
      call.arguments += typeof text === "object" && text !== null ? JSON.stringify(text) : textOf(text);
    }
  }

  /** The calls, complete; an upstream that gave one no id gets one made here. */
  finish(): ToolCall[] {
    return this.#calls.splice(0).map(({ id, name, arguments: text }) => {
      return { id: id || `call_${randomUUID()}`, name, arguments: text || "{}" };
    });
  }

  #callOf(delta: JsonRecord): OpenCall {
    const known = this.#known(delta);
    if (known !== undefined) return known;
    const opened: OpenCall = { index: delta.index, id: "", name: "", arguments: "" };
    this.#calls.push(opened);
    return opened;
  }

  /** Upstreams that send whole calls leave the index out, or repeat it: another id is another call then. */
  #known({ index, id, function: fields }: JsonRecord): OpenCall | undefined {
    if (index !== undefined) {
      return this.#calls.findLast((call) => call.index === index && (!id || !call.id || call.id === id));
    }
    if (id) return this.#calls.find((call) => call.id === id);
    return recordOf(fields).name ? undefined : this.#calls.at(-1);
  }
}
