import {
  CapstanError,
  type ChatRequest,
  invalid,
  type Message,
  refuseUnsupported,
} from "../../src/contracts/index.ts";
import { isFields } from "./document.ts";
import type { Values } from "./placeholders.ts";

/** Where a text that is not a JSON object goes, when the crew has a placeholder of that name. */
const TEXT_NAMES = ["input", "topic"];

/** What a crew takes. */
export interface Inputs {
  readonly names: readonly string[];
  readonly defaults: Values;
}

/**
 * The values of a request: its field `inputs`, else a JSON object as the last message, else the text of that message.
 * @throws CapstanError INVALID_ARGUMENT naming what is missing, and for what a crew cannot do.
 */
export function inputsOf(request: ChatRequest, inputs: Inputs): Values {
  refuse(request);
  const values = { ...inputs.defaults, ...given(request, inputs) };
  const missing = inputs.names.filter((name) => values[name] === undefined || values[name] === null);
  if (missing.length === 0) return values;
  const which = missing.map((name) => `'${name}'`).join(", ");
  const example = JSON.stringify(Object.fromEntries(missing.map((name) => [name, "..."])));
  throw invalid(
    `The crew's input ${which} is missing: send "inputs": ${example}, or that object as the last message`,
    { param: `inputs.${missing[0]}` },
  );
}

function refuse(request: ChatRequest): void {
  const { n = 1, tools = [], toolChoice } = request;
  if (n > 1) throw invalid(`'n' is ${n}, and a crew gives one answer`, { param: "n" });
  if (tools.length > 0 && toolChoice !== "none")
    throw new CapstanError("UNSUPPORTED", "A crew has its own tools and takes no others", { param: "tools" });
  const { content = "" } = request.messages?.at(-1) ?? {};
  const part = typeof content === "string" ? undefined : content.find(({ type }) => type !== "text");
  if (part !== undefined)
    throw new CapstanError(
      "UNSUPPORTED",
      `A crew takes text: the last message has a part of type '${part.type}'`,
      {
        param: "messages",
      },
    );
  refuseUnsupported(request, "crew");
}

function given(request: ChatRequest, inputs: Inputs): Values {
  const { extra, messages = [], prompt } = request;
  const { inputs: named } = extra ?? {};
  if (named !== undefined && !isFields(named))
    throw invalid("'inputs' must be an object", { param: "inputs" });
  if (named !== undefined) return named;
  const last = messages.at(-1);
  if (prompt === undefined && last?.role !== "user") {
    throw invalid("The last message must be the user's: it holds the crew's inputs", { param: "messages" });
  }
  return fromText(prompt ?? textOf(last!), inputs);
}

function fromText(text: string, inputs: Inputs): Values {
  const object = jsonObject(text);
  if (object !== undefined) return object;
  const name = textInput(inputs);
  return name === undefined ? {} : { [name]: text };
}

function textInput({ names, defaults }: Inputs): string | undefined {
  const named = TEXT_NAMES.find((name) => names.includes(name));
  if (named !== undefined || names.length === 1) return named ?? names[0];
  const open = names.filter((name) => !Object.hasOwn(defaults, name));
  return open.length === 1 ? open[0] : undefined;
}

function jsonObject(text: string): Values | undefined {
  if (!/^\s*\{/.test(text)) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isFields(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function textOf({ content }: Message): string {
  if (typeof content === "string") return content;
  return content.map((part) => (typeof part.text === "string" ? part.text : "")).join("");
}
