import { bodySchema as generateBody } from "../generate-request.ts";
import { chatSchema } from "../openai/chat-request.ts";
import { completionsSchema } from "../openai/completions.ts";
import { embeddingsSchema } from "../openai/embeddings.ts";
import { responseSchema } from "../openai/responses/request.ts";
import { textSchema } from "../text.ts";
import { ADMINISTRATION } from "./admin-operations.ts";
import type { Operation } from "./operation.ts";
import {
  AudioForm,
  ImageEditForm,
  ImageRequest,
  InvocationsRequest,
  KickoffRequest,
  SpeechRequest,
} from "./other-schemas.ts";
import { IndexRequest, InferRequest, LoadRequest, NotifyRequest, PinRequest } from "./v2-schemas.ts";

/** What the pages group routes by, in the order in which they are shown. */
export const TAGS: Readonly<Record<string, string>> = {
  V2: "Inference and metadata, by the V2 / Open Inference Protocol",
  Streams: "Tokens for browsers",
  OpenAI: "The language models, by the API of OpenAI",
  Text: "The language models, with plain prompts",
  Applications: "Applications in the background, and conversations",
  MLflow: "Scoring, as MLflow's server does it",
  Health: "Probes and metrics",
  Repository: "What is served, and in which version",
  Administration: "Keys, roles and records",
  Other: "Routes without a description",
};

/**
 * Parts of the paths that the pages leave out: themselves, routes whose twin without a version is described, and
 * those that only say that there is no shared memory.
 */
export const NOT_SHOWN: readonly string[] = [
  ...["/docs", "/redoc", "/openapi.json", "/console"],
  ...["/versions/:version", "sharedmemory"],
];

const EVENTS = "text/event-stream";
const TEXT = "text/plain";
const FORM = "multipart/form-data";

const chat = { model: "tiny-chat", messages: [{ role: "user", content: "What is a token?" }] };
const iris = { inputs: [{ name: "X", datatype: "FP32", shape: [1, 4], data: [6.3, 3.4, 5.6, 2.4] }] };

const HEALTH: Readonly<Record<string, Operation>> = {
  "GET /v2/health/live": { tag: "Health", summary: "Whether the process answers" },
  "GET /v2/health/ready": { tag: "Health", summary: "Whether the models of the start are loaded" },
  "GET /health": { tag: "Health", summary: "Readiness, as MLflow's scoring server says it" },
  "GET /ping": { tag: "Health", summary: "Readiness, as MLflow's scoring server says it" },
  "GET /v1/health": { tag: "Health", summary: "Readiness, with the language models" },
  "GET /readyz": { tag: "Health", summary: "Readiness, with the language models" },
  "GET /metrics": { tag: "Health", summary: "Prometheus metrics", answers: TEXT },
  "GET /v1/metrics": { tag: "Health", summary: "Prometheus metrics", answers: TEXT },
};

const V2: Readonly<Record<string, Operation>> = {
  "GET /v2": { tag: "V2", summary: "Name, version and extensions of the server" },
  "GET /v2/models/stats": { tag: "V2", summary: "Statistics of all models" },
  "GET /v2/models/:model": { tag: "V2", summary: "Metadata: versions, platform, inputs, outputs" },
  "GET /v2/models/:model/ready": { tag: "V2", summary: "Whether the model answers" },
  "GET /v2/models/:model/config": { tag: "V2", summary: "The settings in force" },
  "GET /v2/models/:model/stats": { tag: "V2", summary: "Statistics of the model" },
  "POST /v2/models/:model/infer": { tag: "V2", summary: "Inference", body: InferRequest, example: iris },
  "POST /v2/models/:model/generate": {
    ...{ tag: "V2", summary: "Text in, text out", body: generateBody },
    example: { text_input: "What is a token?", parameters: { max_tokens: 32 } },
  },
  "POST /v2/models/:model/generate_stream": {
    ...{ tag: "V2", summary: "Text in, tokens out", body: generateBody, answers: EVENTS },
    example: { text_input: "What is a token?" },
  },
  "POST /v2/models/:model/infer_stream": {
    ...{ tag: "V2", summary: "Inference with several answers", body: InferRequest, answers: EVENTS },
  },
  "GET /v2/models/:model/stream": {
    ...{ tag: "Streams", summary: "Tokens for an EventSource", answers: EVENTS },
    query: ["prompt", "max_tokens", "temperature", "resume", "last_event_id", "ticket"],
  },
  "POST /v2/models/:model/stream": {
    ...{ tag: "Streams", summary: "Tokens as events with ids, resumable with resume=1" },
    ...{ body: generateBody, answers: EVENTS },
  },
  "POST /v2/models/:model/stream/tickets": {
    tag: "Streams",
    summary: "A ticket that stands for the caller's key, for one EventSource within a minute",
  },
  "POST /v2/cancel/:request": { tag: "V2", summary: "Cancels one's own request by its x-request-id" },
};

const REPOSITORY: Readonly<Record<string, Operation>> = {
  "POST /v2/repository/index": {
    tag: "Repository",
    summary: "What is served, and why not",
    body: IndexRequest,
  },
  "POST /v2/repository/models/:model/load": {
    tag: "Repository",
    summary: "Loads, or loads anew",
    body: LoadRequest,
  },
  "POST /v2/repository/models/:model/unload": { tag: "Repository", summary: "Stops serving" },
  "POST /v2/repository/notify": {
    tag: "Repository",
    summary: "A registry says that something changed",
    body: NotifyRequest,
  },
  "GET /v2/repository/events": {
    ...{ tag: "Repository", summary: "What happened to the models: a list, or text/event-stream to follow" },
    query: ["model", "since"],
  },
  "POST /v2/models/:model/rollback": { tag: "Repository", summary: "The version before serves again" },
  "POST /v2/models/:model/pin": {
    tag: "Repository",
    summary: "Stays on a version until it is unpinned",
    body: PinRequest,
  },
  "POST /v2/models/:model/unpin": { tag: "Repository", summary: "Follows its alias again" },
};

const OPENAI: Readonly<Record<string, Operation>> = {
  "POST /v1/chat/completions": { tag: "OpenAI", summary: "Chat completion", body: chatSchema, example: chat },
  "POST /v1/completions": {
    ...{ tag: "OpenAI", summary: "Completion", body: completionsSchema },
    example: { model: "tiny-chat", prompt: "A token is", max_tokens: 16 },
  },
  "POST /v1/embeddings": {
    ...{ tag: "OpenAI", summary: "Embeddings", body: embeddingsSchema },
    example: { model: "embedder", input: "A text" },
  },
  "GET /v1/models": { tag: "OpenAI", summary: "The language models" },
  "GET /v1/models/:model": { tag: "OpenAI", summary: "One language model" },
  "POST /v1/responses": {
    ...{ tag: "OpenAI", summary: "Response", body: responseSchema },
    example: { model: "tiny-chat", input: "What is a token?" },
  },
  "GET /v1/responses/:response": { tag: "OpenAI", summary: "A response of the last hour" },
  "DELETE /v1/responses/:response": { tag: "OpenAI", summary: "Forgets a response" },
  "POST /v1/responses/:response/cancel": { tag: "OpenAI", summary: "Cancels a response" },
  "POST /v1/images/generations": {
    tag: "OpenAI",
    summary: "Makes images, at an upstream",
    body: ImageRequest,
  },
  "POST /v1/images/edits": {
    tag: "OpenAI",
    summary: "Changes images, at an upstream",
    body: ImageEditForm,
    takes: FORM,
  },
  "POST /v1/audio/speech": { tag: "OpenAI", summary: "Speech, at an upstream", body: SpeechRequest },
  "POST /v1/audio/transcriptions": {
    tag: "OpenAI",
    summary: "Transcription, at an upstream",
    body: AudioForm,
    takes: FORM,
  },
  "POST /v1/audio/translations": {
    tag: "OpenAI",
    summary: "Translation, at an upstream",
    body: AudioForm,
    takes: FORM,
  },
  "POST /v1/generate": {
    ...{ tag: "Text", summary: "Continues a prompt", body: textSchema },
    example: { model: "tiny-chat", prompt: "A token is", max_new_tokens: 16 },
  },
  "POST /v1/stream": {
    tag: "Text",
    summary: "Continues a prompt, token by token",
    body: textSchema,
    answers: EVENTS,
  },
};

const APPLICATIONS: Readonly<Record<string, Operation>> = {
  "GET /v2/models/:model/inputs": { tag: "Applications", summary: "The inputs an application takes" },
  "POST /v2/models/:model/kickoff": {
    tag: "Applications",
    summary: "Starts an application in the background",
    body: KickoffRequest,
  },
  "GET /v2/models/:model/status/:id": { tag: "Applications", summary: "What came of it" },
  "GET /inputs": { tag: "Applications", summary: "The inputs of the only application" },
  "POST /kickoff": {
    tag: "Applications",
    summary: "Starts the only application in the background",
    body: KickoffRequest,
  },
  "GET /status/:id": { tag: "Applications", summary: "What came of it" },
  "GET /v2/models/:model/sessions": { tag: "Applications", summary: "The caller's conversations" },
  "GET /v2/models/:model/sessions/:session": { tag: "Applications", summary: "One conversation" },
  "DELETE /v2/models/:model/sessions/:session": { tag: "Applications", summary: "Forgets a conversation" },
  "GET /version": { tag: "MLflow", summary: "Version of the server", answers: TEXT },
  "POST /invocations": {
    tag: "MLflow",
    summary: "MLflow scoring of the only model",
    body: InvocationsRequest,
  },
  "POST /models/:model/invocations": { tag: "MLflow", summary: "MLflow scoring", body: InvocationsRequest },
};

/** By method and route. */
const OPERATIONS: Readonly<Record<string, Operation>> = {
  ...HEALTH,
  ...V2,
  ...REPOSITORY,
  ...OPENAI,
  ...APPLICATIONS,
  ...ADMINISTRATION,
};

/** @param path the route's pattern: `GET /v2/models/:model` is its name in the table. */
export function operationOf(method: string, path: string): Operation {
  const name = `${method} ${path.replace(/\{[^}]*\}/g, "")}`;
  return OPERATIONS[name] ?? { tag: "Other", summary: name };
}
