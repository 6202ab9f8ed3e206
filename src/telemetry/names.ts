/** A metric as Prometheus lists it. */
export interface MetricName {
  readonly name: string;
  readonly help: string;
}

const metric = (name: string, help: string): MetricName => ({ name, help });

/** Every metric of the server; those of the process are prom-client's own. */
export const METRICS = {
  inferSucceeded: metric("model_infer_request_success_total", "Requests to models that were answered"),
  inferFailed: metric("model_infer_request_failure_total", "Requests to models that failed"),
  inferDuration: metric("model_infer_request_duration", "Seconds from the look-up of a model to its answer"),
  batchQueue: metric("batch_request_queue", "Requests that waited for a batch when it was put together"),
  parallelQueue: metric("parallel_request_queue", "Requests at the worker that was given another one"),
  grpcStarted: metric("grpc_server_started_total", "RPCs started on the server"),
  grpcHandled: metric("grpc_server_handled_total", "RPCs completed, regardless of success or failure"),
  grpcDuration: metric("grpc_server_handling_seconds", "Seconds from the start of an RPC to its status"),

  modelState: metric("capstan_model_state", "1 for the state a model version is in"),
  modelActive: metric(
    "capstan_model_active_requests",
    "Requests that a model version works on, or that wait for it",
  ),
  modelQueue: metric("capstan_model_queue_length", "Requests that wait for a model version"),
  modelQueueWait: metric(
    "capstan_model_queue_seconds",
    "Seconds that requests waited for their turn (admission)",
  ),
  modelBatchSize: metric("capstan_model_batch_size", "Rows of one run of a model version"),
  modelArtifact: metric("capstan_model_artifact_bytes", "Size of a model version's files"),
  workers: metric("capstan_model_workers", "Threads and processes that run an isolated model"),
  workerFailures: metric(
    "capstan_model_worker_failures_total",
    "Workers of an isolated model that broke off",
  ),
  processMemory: metric(
    "capstan_model_process_memory_bytes",
    "Resident memory of the processes that run a model (isolation: process)",
  ),
  responseCache: metric(
    "capstan_response_cache_requests_total",
    "Requests to models whose answers are kept, by result",
  ),

  generations: metric("capstan_user_code_generations", "User modules that are imported and not disposed"),
  strayErrors: metric(
    "capstan_user_code_stray_errors_total",
    "Errors that user code threw outside of an answer",
  ),

  loads: metric("capstan_model_loads_total", "Loads and reloads, by outcome"),
  loadDuration: metric("capstan_model_load_duration_seconds", "Fetch, load and cases"),
  swaps: metric("capstan_model_swaps_total", "Loads that took the place of one that served"),
  canariesStopped: metric(
    "capstan_canaries_stopped_total",
    "Canaries taken back because they went beyond their limits",
  ),
  modelGeneration: metric("capstan_model_generation", "Number of the load that serves"),
  canaryWeight: metric("capstan_canary_weight", "Per cent of the callers that a canary gets"),
  registryFailures: metric("capstan_registry_failures", "Looks that failed since the last that did not"),
  registryAge: metric("capstan_registry_age_seconds", "Seconds since the last look that succeeded"),

  llmRequests: metric("llm_gateway_requests_total", "Requests to language models, by how they ended"),
  llmDuration: metric(
    "llm_gateway_request_duration_seconds",
    "Seconds of a request to a language model's endpoint",
  ),
  llmTokens: metric("llm_gateway_tokens_generated_total", "Tokens that language models wrote"),
  llmGeneration: metric(
    "llm_gateway_generation_duration_seconds",
    "Seconds in which a model made a whole answer",
  ),
  llmActive: metric("llm_gateway_active_requests", "Requests to language models under way"),
  llmInfo: metric("llm_gateway_model_info", "1 for each language model that is loaded"),
  llmErrors: metric("llm_gateway_errors_total", "Requests to language models that failed, by code"),
  overhead: metric(
    "capstan_overhead_seconds",
    "Seconds before a language model was asked (x-capstan-overhead-ms)",
  ),

  genAiTokens: metric("gen_ai_client_token_usage", "Tokens of one request (gen_ai.client.token.usage)"),
  genAiDuration: metric("gen_ai_server_request_duration_seconds", "gen_ai.server.request.duration"),
  genAiFirstToken: metric("gen_ai_server_time_to_first_token_seconds", "gen_ai.server.time_to_first_token"),
  genAiPerToken: metric("gen_ai_server_time_per_output_token_seconds", "gen_ai.server.time_per_output_token"),

  completionCache: metric(
    "capstan_completion_cache_requests_total",
    "Requests that may be answered by a kept answer, by result",
  ),
  completionStores: metric(
    "capstan_completion_cache_stored_total",
    "Answers of language models that were kept",
  ),
  completionFailures: metric(
    "capstan_completion_cache_failures_total",
    "Times that the store of kept answers failed",
  ),
  logRows: metric("capstan_inference_log_rows_total", "Rows of the inference log, by what became of them"),
  logPending: metric("capstan_inference_log_pending_rows", "Rows of the inference log that are in memory"),
  refusals: metric("capstan_access_refusals_total", "Requests that access control refused, by reason"),
  redisUp: metric("capstan_redis_up", "1 while the Redis that replicas share answers"),
} as const satisfies Record<string, MetricName>;

/** Those of HTTP. @param prefix `metrics_rest_server_prefix` of the settings, MLServer's `rest_server`. */
export const restMetrics = (prefix: string) => ({
  requests: metric(`${prefix}_requests_total`, "HTTP requests answered"),
  inProgress: metric(`${prefix}_requests_in_progress`, "HTTP requests under way"),
  duration: metric(
    `${prefix}_request_duration_seconds`,
    "Seconds from the first byte of a request to the last of its answer",
  ),
});
