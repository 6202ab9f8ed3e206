import { describe, expect, it } from "vitest";
import { type ChatRequest, refuseUnsupported } from "../../src/contracts/index.ts";

const chat = (extra: Record<string, unknown> = {}, rest: Partial<ChatRequest> = {}): ChatRequest => ({
  messages: [{ role: "user", content: "hi" }],
  sampling: {},
  extra,
  ...rest,
});
const completion = (extra: Record<string, unknown>): ChatRequest => ({ prompt: "hi", sampling: {}, extra });

const refused = (request: ChatRequest, takes?: string[]) => {
  try {
    refuseUnsupported(request, "mine", takes);
    return undefined;
  } catch (error) {
    return error as { code: string; param: string; message: string };
  }
};

describe("a field that asks for what the adapter does not do", () => {
  it.each([
    ["n", chat({}, { n: 2 })],
    ["tools", chat({}, { tools: [{}] })],
    ["response_format", chat({}, { responseFormat: { type: "json_schema" } })],
    ["logprobs", chat({ logprobs: true })],
    ["logprobs", completion({ logprobs: 0 })],
    ["top_logprobs", chat({ top_logprobs: 3 })],
    ["logit_bias", chat({ logit_bias: { 17: -100 } })],
    ["functions", chat({ functions: [{ name: "f" }] })],
    ["modalities", chat({ modalities: ["text", "audio"] })],
    ["best_of", completion({ best_of: 3 })],
    ["suffix", completion({ suffix: "end" })],
    ["reasoning_effort", chat({ reasoning_effort: "high" })],
    ["max_new_tokens", chat({ max_new_tokens: 5 })],
    ["guided_json", chat({ guided_json: { type: "object" } })],
    ["grammar", chat({ grammar: 'root ::= "a"' })],
    ["ignore_eos", chat({ ignore_eos: true })],
    ["skip_special_tokens", chat({ skip_special_tokens: false })],
    ["min_tokens", chat({ min_tokens: 4 })],
    ["length_penalty", chat({ length_penalty: 0.5 })],
  ])("is refused: %s", (param, request) => {
    expect(refused(request)).toMatchObject({
      ...{ code: "UNSUPPORTED", param },
      message: `'${param}' has no effect with the adapter 'mine', so it is refused: leave it out`,
    });
    expect(refused(request, [param])).toBeUndefined();
  });

  it("is refused though there is a tool for it", () => {
    const extra = { parallel_tool_calls: false };
    expect(refused(chat(extra, { tools: [{}] }), ["tools"])).toMatchObject({ param: "parallel_tool_calls" });
    expect(refused(chat(extra))).toBeUndefined();
  });
});

it.each([
  chat({ logprobs: false, top_logprobs: 0, logit_bias: {}, functions: [], modalities: ["text"] }),
  chat({ logprobs: null, n_probs: 0, min_tokens: 0, length_penalty: 1, verbosity: "medium" }),
  chat({ user: "me", store: true, metadata: { a: "b" }, service_tier: "auto", seedling: 4, constructor: 1 }),
  chat({ reasoning_effort: "none", ignore_eos: false, stop_token_ids: [], suffix: "" }),
  chat({}, { n: 1, tools: [{}], toolChoice: "none", responseFormat: { type: "text" } }),
  completion({ logprobs: false, best_of: 1 }),
])("what asks for nothing, or is not about the answer, passes (%#)", (request) => {
  expect(refused(request)).toBeUndefined();
});
