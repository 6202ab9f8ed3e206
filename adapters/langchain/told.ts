import type { FinishReason, Usage } from "../../src/contracts/index.ts";
import type { Library } from "./library.ts";
import { isObject, type LooseMessage } from "./messages.ts";
import type { Work } from "./work.ts";

/** On what our own chat model writes: it has counted that itself. */
export const OURS = "capstan";

/** Counts what a message of an application's own model tells of its call. */
export function countTold(work: Work, message: LooseMessage): void {
  const { usage_metadata: usage, response_metadata = {} } = message;
  const { finish_reason, model_provider } = response_metadata;
  if (model_provider === OURS || (usage === undefined && finish_reason === undefined)) return;
  const reason = typeof finish_reason === "string" ? (finish_reason as FinishReason) : work.reason;
  work.count(reason, isObject(usage) ? usageOf(usage) : undefined);
}

const usageOf = ({ input_tokens, output_tokens }: Readonly<Record<string, unknown>>): Usage => ({
  inputTokens: whole(input_tokens),
  outputTokens: whole(output_tokens),
});

const whole = (value: unknown) => (Number.isInteger(value) && Number(value) > 0 ? Number(value) : 0);

/** The fields that are used of LangChain's LLMResult. */
interface Result {
  readonly generations?: readonly (readonly { readonly message?: LooseMessage }[])[];
}

type Handler = InstanceType<Library["callbacks"]["BaseCallbackHandler"]>;

/**
 * LangChain tells it of every model call, wherever in the application. An object that is no handler of its own class
 * is made into one for each token, which costs as much as all else together.
 */
export function callbacks({ callbacks: { BaseCallbackHandler } }: Library, work: Work): Handler[] {
  class Told extends BaseCallbackHandler {
    readonly name = OURS;
    override awaitHandlers = true;

    override handleLLMEnd(result: unknown): void {
      const message = (result as Result).generations?.[0]?.[0]?.message;
      if (message !== undefined) countTold(work, message);
    }
  }
  return [new Told()];
}
