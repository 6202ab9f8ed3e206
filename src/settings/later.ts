/**
 * Keys that other versions of this server, or MLServer, give a meaning to and this one does not. They are
 * accepted with a warning, so that a settings file works in both and nobody believes they are in force.
 */

const NOT_YET = "has no effect in this version of the server; remove it, or leave it for a later one";

/** Top-level keys of settings.json. */
export const LATER_SERVER_KEYS: Readonly<Record<string, string>> = {
  auth: NOT_YET,
  redis_url: NOT_YET,
  on_redis_down: NOT_YET,
  completion_cache: NOT_YET,
  inference_log: NOT_YET,
  memory: NOT_YET,
  resume_grace: NOT_YET,
  notify_secret: NOT_YET,
  tracing_server: NOT_YET,
  cache_enabled: NOT_YET,
  cache_size: NOT_YET,
  kafka_enabled: "has no effect: this server does not read Kafka; send the messages to its HTTP or gRPC port",
  kafka_servers: "has no effect: this server does not read Kafka; send the messages to its HTTP or gRPC port",
  kafka_topic_input:
    "has no effect: this server does not read Kafka; send the messages to its HTTP or gRPC port",
  kafka_topic_output:
    "has no effect: this server does not read Kafka; send the messages to its HTTP or gRPC port",
  metrics_dir: "has no effect: metrics are kept in the server's own process",
  environments_dir:
    "has no effect: Python environments are not loaded; run the model in a Python server and put it behind the " +
    '"remote" implementation',
  model_repository_implementation:
    "has no effect: the repository is always the folder in model_repository_root; other sources go into each " +
    "model's parameters.uri",
};

/** Keys of `parameters.extra` that will be the host's. They are refused: a limit that is not kept is a fault. */
export const LATER_MODEL_KEYS: readonly string[] = ["memory", "canary", "isolation", "workers"];

/** Variables whose names cannot stand for anything else. */
export const LATER_VARIABLES: readonly string[] = ["CAPSTAN_ADMIN_KEY", "VLLM_URL", "LLAMA_MODEL_PATH"];

export const LATER_VARIABLE_MESSAGE = NOT_YET;

/** Plugins that are named in settings and come with a later version. */
export const LATER_PLUGINS: readonly string[] = [
  ...["langchain", "llamaindex", "crew", "transformers"],
  ...["http", "s3", "unity-catalog", "mlflow", "redis", "delta", "sql"],
];
