/** What a plugin imports, as `capstan` from outside. The contracts import nothing but each other. */
export * from "./call.ts";
export * from "./cap-llm.ts";
export * from "./completion.ts";
export * from "./embeddings.ts";
export * from "./errors.ts";
export * from "./host.ts";
export * from "./memory.ts";
export * from "./options.ts";
export * from "./resolver.ts";
export * from "./runtime.ts";
export * from "./tensors.ts";
export * from "./trace.ts";
export * from "./unsupported.ts";
export * from "./used-model.ts";
