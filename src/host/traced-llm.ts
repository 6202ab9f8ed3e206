import {
  type CapLLM,
  type ChatRequest,
  type Completion,
  type Part,
  type TraceSpan,
  totalUsage,
  type Usage,
} from "../contracts/index.ts";

/**
 * A language model whose requests and answers are described at the span they belong to, in the terms of OpenTelemetry's
 * conventions for GenAI: numbers and reasons, and nothing of what was said.
 */
export function traced(llm: CapLLM): CapLLM {
  const predictText = llm.predictText?.bind(llm);
  return {
    ...llm,
    streamTokens(request, call) {
      const parts = llm.streamTokens(request, call);
      return call.trace?.recording ? described(parts, request, call.trace) : parts;
    },
    ...(predictText && {
      async predictText(request, call) {
        if (call.trace?.recording) describeRequest(request, call.trace);
        const completion = await predictText(request, call);
        if (call.trace?.recording) describeCompletion(completion, call.trace);
        return completion;
      },
    }),
  };
}

async function* described(
  parts: AsyncIterable<Part>,
  request: ChatRequest,
  span: TraceSpan,
): AsyncGenerator<Part> {
  const finishes: Finish[] = [];
  let begun = false;
  describeRequest(request, span);
  for await (const part of parts) {
    if (!begun && (part.type === "text" || part.type === "reasoning" || part.type === "tool-call")) {
      begun = true;
      span.event("gen_ai.first_token");
    }
    if (part.type === "finish") {
      finishes[part.choice] = part;
      describeAnswer(Object.values(finishes), span);
    }
    yield part;
  }
}

type Finish = Extract<Part, { type: "finish" }>;

function describeRequest({ sampling, n }: ChatRequest, span: TraceSpan): void {
  span.set({
    "gen_ai.request.max_tokens": sampling.maxTokens,
    "gen_ai.request.temperature": sampling.temperature,
    "gen_ai.request.top_p": sampling.topP,
    "gen_ai.request.choice.count": n === 1 ? undefined : n,
  });
}

function describeCompletion({ choices, usage }: Completion, span: TraceSpan): void {
  setAnswer(
    choices.map(({ reason }) => reason),
    usage,
    span,
  );
}

/** With each finish anew: its reader may leave after any of them. */
function describeAnswer(finishes: readonly Finish[], span: TraceSpan): void {
  const usage = totalUsage(finishes.map((finish) => finish.usage));
  setAnswer(
    finishes.map(({ reason }) => reason),
    usage,
    span,
  );
}

function setAnswer(
  reasons: string[],
  { inputTokens, outputTokens, cachedTokens }: Usage,
  span: TraceSpan,
): void {
  span.set({
    "gen_ai.response.finish_reasons": reasons,
    "gen_ai.usage.input_tokens": inputTokens,
    "gen_ai.usage.output_tokens": outputTokens,
    "gen_ai.usage.cache_read.input_tokens": cachedTokens,
  });
}
