import type { inference } from "../../src/grpc/generated/inference.js";
import { GRPCInferenceService, LLMService } from "../../src/grpc/generated/services.ts";
import { codeName, type TestClient } from "../support/grpc.ts";
import { openStream } from "../support/grpc-llm.ts";
import { eventsOf } from "../support/scripted-llm.ts";
import type { TestServer } from "../support/server.ts";

/** What any transport says of an answer. */
export interface Told {
  readonly text: string;
  readonly finish: unknown;
  readonly input: unknown;
  readonly output: unknown;
}

export interface Asked {
  readonly model: string;
  readonly text: string;
  readonly maxTokens?: number;
  readonly requestId?: string;
}

/** One way to ask a language model what a user says. A string is how the request failed. */
export interface Way {
  readonly name: string;
  ask(asked: Asked, server: TestServer, grpc: TestClient): Promise<Told | string>;
}

type Json = Readonly<Record<string, unknown>>;

const OUTPUTS = ["text_output", "finish_reason", "input_tokens", "output_tokens"];

const overHttp = (
  name: string,
  path: (model: string) => string,
  body: (asked: Asked) => Json,
  read: Read,
): Way => ({
  name,
  async ask(asked, server) {
    const headers = {
      "content-type": "application/json",
      "x-request-id": asked.requestId ?? name.replaceAll(" ", "-"),
    };
    const init = { method: "POST", headers, body: JSON.stringify(body(asked)) };
    const response = await server.request(path(asked.model), init);
    const text = await response.text();
    if (!response.ok) return String(response.status);
    const isStream = response.headers.get("content-type")?.startsWith("text/event-stream") === true;
    const bodies = isStream ? eventsOf(text).map(({ data }) => data) : [text];
    const objects = bodies.filter((each) => each !== "[DONE]").map((each) => JSON.parse(each) as Json);
    const failed = objects.find(({ error }) => error !== undefined);
    return failed === undefined ? read(objects) : "failed in the stream";
  },
});

type Read = (bodies: readonly Json[]) => Told;

const chat = ({ model, text, maxTokens }: Asked) => ({
  ...{ model, messages: [{ role: "user", content: text }] },
  ...(maxTokens === undefined ? {} : { max_tokens: maxTokens }),
});
const generate = ({ text, maxTokens }: Asked) => ({
  text_input: text,
  parameters: { details: true, ...(maxTokens === undefined ? {} : { max_tokens: maxTokens }) },
});
const tensors = ({ text, maxTokens }: Asked) => ({
  inputs: [{ name: "text_input", datatype: "BYTES", shape: [1], data: [text] }],
  outputs: OUTPUTS.map((name) => ({ name })),
  parameters: maxTokens === undefined ? {} : { max_tokens: maxTokens },
});
const v2 = (route: string) => (model: string) => `/v2/models/${model}/${route}`;

interface Choice {
  readonly message?: { readonly content: string | null };
  readonly delta?: { readonly content?: string };
  readonly finish_reason: string | null;
}
interface OpenaiUsage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
}

function readChat(bodies: readonly Json[]): Told {
  const choices = bodies.flatMap((body) => body.choices as Choice[]);
  const usage = bodies.at(-1)!.usage as OpenaiUsage;
  return {
    text: choices.map(({ message, delta }) => message?.content ?? delta?.content ?? "").join(""),
    finish: choices.at(-1)!.finish_reason,
    ...{ input: usage.prompt_tokens, output: usage.completion_tokens },
  };
}

function readGenerate(bodies: readonly Json[]): Told {
  const {
    finish_reason: finish,
    input_tokens: input,
    output_tokens: output,
  } = bodies.at(-1)!.details as Json;
  return { text: bodies.map((body) => body.text_output).join(""), finish, input, output };
}

function readTensors(bodies: readonly Json[]): Told {
  const valuesOf = (body: Json) =>
    Object.fromEntries(
      (body.outputs as { name: string; data: unknown[] }[]).map((each) => [each.name, each.data[0]]),
    );
  const last = valuesOf(bodies.at(-1)!);
  const text = bodies.map((body) => valuesOf(body).text_output).join("");
  return { text, finish: last.finish_reason, input: last.input_tokens, output: last.output_tokens };
}

function readEvents(bodies: readonly Json[]): Told {
  const { finish_reason: finish, usage } = bodies.at(-1)! as { finish_reason: string; usage: Json };
  const text = bodies.map((body) => body.text ?? "").join("");
  return { text, finish, input: usage.input_tokens, output: usage.output_tokens };
}

const STREAM = { stream: true, stream_options: { include_usage: true } };

function tensorMessage({ model, text, maxTokens }: Asked): inference.ModelInferRequest.Init {
  const contents = { bytesContents: [Buffer.from(text)] };
  return {
    modelName: model,
    inputs: [{ name: "text_input", datatype: "BYTES", shape: [1n], contents }],
    outputs: OUTPUTS.map((name) => ({ name })),
    parameters: maxTokens === undefined ? {} : { max_tokens: { int64Param: BigInt(maxTokens) } },
  };
}

function bodyOf({ outputs }: inference.ModelInferResponse): Json {
  const values = outputs.map(({ name, contents }) => {
    const { bytesContents = [], intContents = [] } = contents ?? {};
    return { name, data: [...bytesContents.map((bytes) => Buffer.from(bytes).toString()), ...intContents] };
  });
  return { outputs: values };
}

const headersOf = ({ requestId }: Asked, name: string) => ({
  "x-request-id": requestId ?? name.replaceAll(" ", "-"),
});

const OVER_GRPC: readonly Way[] = [
  {
    name: "gRPC ChatCompletion",
    async ask(asked, _server, grpc) {
      const request = { model: asked.model, prompt: asked.text, maxTokens: asked.maxTokens };
      const headers = headersOf(asked, this.name);
      const { code, response } = await grpc.unary(LLMService.ChatCompletion, request, { headers });
      if (code !== 0) return codeName(code);
      const { content, finishReason: finish, usage } = response;
      return { text: content, finish, input: usage?.promptTokens, output: usage?.completionTokens };
    },
  },
  {
    name: "gRPC ChatCompletionStream",
    async ask(asked, _server, grpc) {
      const request = { model: asked.model, prompt: asked.text, maxTokens: asked.maxTokens };
      const { requestId = this.name.replaceAll(" ", "-") } = asked;
      const { chunks, end } = openStream(grpc, "ChatCompletionStream", request, { requestId });
      const { code } = await end;
      if (code !== "OK") return code;
      const { finishReason: finish, usage } = chunks.at(-1)!;
      const text = chunks.map(({ delta }) => delta).join("");
      return { text, finish, input: usage?.promptTokens, output: usage?.completionTokens };
    },
  },
  {
    name: "gRPC ModelInfer",
    async ask(asked, _server, grpc) {
      const { ModelInfer } = GRPCInferenceService;
      const headers = headersOf(asked, this.name);
      const { code, response } = await grpc.unary(ModelInfer, tensorMessage(asked), { headers });
      return code === 0 ? readTensors([bodyOf(response)]) : codeName(code);
    },
  },
  {
    name: "gRPC ModelStreamInfer",
    async ask(asked, _server, grpc) {
      const { ModelStreamInfer } = GRPCInferenceService;
      const headers = headersOf(asked, this.name);
      const { messages } = await grpc.stream(ModelStreamInfer, [tensorMessage(asked)], { headers });
      const failed = messages.find(({ errorMessage }) => errorMessage !== "");
      if (failed !== undefined) return failed.errorMessage.split(":")[0]!;
      const last = messages.at(-1)!.inferResponse!.parameters;
      const told = readTensors(messages.map(({ inferResponse }) => bodyOf(inferResponse!)));
      const parameters = [last.finish_reason?.stringParam, Number(last.output_tokens?.int64Param)];
      return {
        ...told,
        finish: parameters[0] === told.finish && parameters[1] === told.output && told.finish,
      };
    },
  },
];

/** Every way that a user's text can be asked. */
export const WAYS: readonly Way[] = [
  overHttp("chat", () => "/v1/chat/completions", chat, readChat),
  overHttp(
    "chat, streamed",
    () => "/v1/chat/completions",
    (asked) => ({ ...chat(asked), ...STREAM }),
    readChat,
  ),
  overHttp("V2 generate", v2("generate"), generate, readGenerate),
  overHttp("V2 generate_stream", v2("generate_stream"), generate, readGenerate),
  overHttp("V2 infer", v2("infer"), tensors, readTensors),
  overHttp("V2 infer_stream", v2("infer_stream"), tensors, readTensors),
  overHttp("V2 stream", v2("stream"), generate, readEvents),
  overHttp("V2 stream of tensors", v2("stream"), tensors, readEvents),
  ...OVER_GRPC,
];
