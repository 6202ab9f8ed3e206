import { CapstanError } from "../contracts/index.ts";
import type { DataPlane, RepositoryControl } from "../host/types.ts";

const refuse = (): never => {
  throw new CapstanError("UNSUPPORTED", "A gateway has no models of its own: ask the server behind it");
};

/** The gateway serves no model: what is said about one is not checked here, and whatever needs one is refused. */
export const noModels: DataPlane = {
  infer: refuse,
  inferStream: refuse,
  streams: refuse,
  chat: refuse,
  embed: refuse,
  tokenize: refuse,
  passthrough: refuse,
  languageModels: () => [],
  languageModel: () => undefined,
  signature: () => undefined,
  serverMetadata: refuse,
  serverReady: () => true,
  modelMetadata: refuse,
  modelReady: refuse,
  modelConfig: refuse,
  statistics: refuse,
};

export const noRepository: RepositoryControl = {
  index: () => [],
  details: () => [],
  load: refuse,
  unload: refuse,
  rollback: refuse,
  pin: refuse,
  unpin: refuse,
  notify: refuse,
};
