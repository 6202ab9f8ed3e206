/** Bounds of `gen_ai.server.request.duration` in the semantic conventions of OpenTelemetry, in seconds. */
export const LLM_SECONDS: readonly number[] = [
  0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];

const MODEL = ["/v2/models/:model", "/v2/models/:model/versions/:version"];

/** Templates of the routes that ask language models; V2's generate takes inference requests as well. */
export const LLM_ROUTES: ReadonlySet<string> = new Set([
  ...[
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/generate",
    "/v1/stream",
  ],
  ...["/v1/images/generations", "/v1/images/edits"],
  ...["/v1/audio/speech", "/v1/audio/transcriptions", "/v1/audio/translations"],
  ...MODEL.flatMap((model) => [`${model}/generate`, `${model}/generate_stream`]),
]);

export const isLlmRoute = (method: string, path: string): boolean =>
  method === "POST" && LLM_ROUTES.has(path);

export const isLlmMethod = (path: string): boolean => path.startsWith("/capstan.llm.");
