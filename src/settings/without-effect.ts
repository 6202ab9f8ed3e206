const NO_KAFKA = "has no effect: this server does not read Kafka; send the messages to its HTTP or gRPC port";

/**
 * Top-level keys of settings.json that MLServer gives a meaning to and this server does not. They are accepted with a
 * warning, so that a settings file works in both and nobody believes they are in force.
 */
export const KEYS_WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  kafka_enabled: NO_KAFKA,
  kafka_servers: NO_KAFKA,
  kafka_topic_input: NO_KAFKA,
  kafka_topic_output: NO_KAFKA,
  metrics_dir: "has no effect: metrics are kept in the server's own process",
  environments_dir:
    "has no effect: Python environments are not loaded; run the model in a Python server and put it behind the " +
    '"remote" implementation',
  model_repository_implementation:
    "has no effect: the repository is always the folder in model_repository_root; other sources go into each " +
    "model's parameters.uri",
};
