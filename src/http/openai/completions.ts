import pLimit from "p-limit";
import { z } from "zod";
import {
  type Call,
  CapstanError,
  type ChatRequest,
  type CompletionChoice,
  foldParts,
  type Part,
  totalUsage,
  type Usage,
} from "../../contracts/index.ts";
import type { Target } from "../../host/language-model.ts";
import type { Exchange } from "../exchange.ts";
import { checkFields, readJsonObject } from "../json-body.ts";
import { answerHeaders, chooseModel, sessionOf } from "../language-model.ts";
import { extraOf, optional, samplingOf, truth } from "../sampling.ts";
import { sendJson } from "../send.ts";
import { sendEvents, sseData } from "../sse.ts";
import { closingEvents, type Envelope, envelope, usageBody } from "./answer.ts";
import { bodySession, commonFields, metadataOf, wantsUsage } from "./chat-request.ts";
import { openAIFailure } from "./failure.ts";
import { passedThrough } from "./passthrough.ts";
import { noTokenIds, textsOf, textsOrTokenIds } from "./token-ids.ts";

/** Prompts of one request that are worked on at once. */
const AT_ONCE = 8;

export const completionsSchema = z.looseObject({
  ...commonFields,
  prompt: textsOrTokenIds(),
  echo: optional(truth()),
});
type Body = z.output<typeof completionsSchema>;

const OWN = Object.keys(completionsSchema.shape);

/**
 * `POST /v1/completions` of the OpenAI API. Choice `p * n + c` is choice `c` of prompt `p`. Token ids, and log
 * probabilities of the prompt, are left to the model's upstream.
 */
export async function completions(x: Exchange): Promise<void> {
  const json = await readJsonObject(x);
  const body = checkFields(completionsSchema, json);
  const withUsage = wantsUsage(body);
  const target = chooseModel(x, body.model);
  const prompts = textsOf(body.prompt);
  const lack = prompts === undefined ? noTokenIds(target, "prompt") : lackOf(body);
  if (lack !== undefined && (await passedThrough(x, "completions", target, json))) return;
  if (lack !== undefined || prompts === undefined) throw lack;
  const requests = requestsOf(body, prompts, sessionOf(x, { body: bodySession(body) }));
  const base = envelope(`cmpl-${x.requestId}`, "text_completion", target.name);
  if (body.stream) {
    const headers = answerHeaders(x, target);
    return sendEvents(x, events(x, target, requests, base, { withUsage, echo: body.echo }), {
      headers,
      failure: openAIFailure(x),
    });
  }
  return complete(x, target, requests, base, body.echo);
}

function requestsOf(body: Body, prompts: readonly string[], session: string | undefined): ChatRequest[] {
  const shared = {
    sampling: samplingOf(body, body.max_tokens),
    n: body.n,
    session,
    extra: { ...extraOf(body, OWN), ...metadataOf(body) },
  };
  return prompts.map((prompt) => ({ prompt, ...shared }));
}

/** What a model by itself cannot do: it gives no log probabilities of its input. */
function lackOf({ echo, logprobs }: Body): CapstanError | undefined {
  if (echo !== true || logprobs == null) return undefined;
  return new CapstanError("UNSUPPORTED", "'echo' cannot be had together with 'logprobs'", { param: "echo" });
}

/** The first failure ends the work on all prompts. */
async function complete(
  x: Exchange,
  target: Target,
  requests: readonly ChatRequest[],
  base: Envelope,
  echo = false,
): Promise<void> {
  const headers = answerHeaders(x, target);
  const call = x.wholeCall();
  const limit = pLimit(AT_ONCE);
  const run = (request: ChatRequest) =>
    limit(() =>
      foldParts(partsOf(x, target, request, call)).catch((error: unknown) => {
        x.cancel("Another prompt of the request failed");
        throw error;
      }),
    );
  const completed = await Promise.all(requests.map(run));
  const choices = completed.flatMap((each, prompt) =>
    each.choices.map((choice) => choiceBody(choice, echo ? requests[prompt]!.prompt! : "")),
  );
  const usage = usageBody(sumUsage(completed.map((each) => each.usage)));
  const answer = { ...base, choices: choices.map((choice, index) => ({ index, ...choice })), usage };
  return sendJson(x, 200, answer, headers());
}

function partsOf(x: Exchange, { name, version }: Target, request: ChatRequest, call: Call) {
  return x.parts.plane.chat(name, version, request, call);
}

function choiceBody({ text, logprobs, reason }: CompletionChoice, before: string) {
  return { text: before + text, logprobs: logprobs ?? null, finish_reason: reason };
}

/** One prompt after the other: their choices have indices of their own. */
async function* events(
  x: Exchange,
  target: Target,
  requests: readonly ChatRequest[],
  base: Envelope,
  { withUsage, echo }: { readonly withUsage: boolean; readonly echo: boolean | undefined },
): AsyncGenerator<string> {
  const chunk = { ...base, ...(withUsage ? { usage: null } : {}) };
  const used: Usage[] = [];
  for (const [prompt, request] of requests.entries()) {
    const usages: Usage[] = [];
    const begun = new Set<number>();
    for await (const part of partsOf(x, target, request, x.call())) {
      if (part.type === "finish") usages.push(part.usage);
      const before = echo && !begun.has(part.choice) ? request.prompt! : "";
      const choice = chunkChoice(part, before);
      if (choice === undefined) continue;
      begun.add(part.choice);
      yield sseData({ ...chunk, choices: [{ index: prompt * (request.n ?? 1) + part.choice, ...choice }] });
    }
    used.push(totalUsage(usages));
  }
  yield* closingEvents(base, withUsage ? sumUsage(used) : undefined);
}

function chunkChoice(part: Part, before: string) {
  if (part.type === "text")
    return { text: before + part.text, logprobs: part.logprobs ?? null, finish_reason: null };
  if (part.type === "finish") return { text: before, logprobs: null, finish_reason: part.reason };
  return undefined;
}

/** Of several prompts: each had an input of its own. */
function sumUsage(usages: readonly Usage[]): Usage {
  return {
    inputTokens: usages.reduce((sum, { inputTokens }) => sum + inputTokens, 0),
    outputTokens: usages.reduce((sum, { outputTokens }) => sum + outputTokens, 0),
  };
}
