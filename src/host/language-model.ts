import { CapstanError, invalid } from "../contracts/index.ts";
import type { DataPlane } from "./types.ts";

/** A language model that a request is for. */
export interface Target {
  readonly name: string;
  /** As asked for; absent: whichever the data plane takes. */
  readonly version?: string | undefined;
  /** The version that answers. */
  readonly answering: string;
}

/**
 * The name of the model for a request that need not name one: `default_model`, else the only one there is.
 * @throws CapstanError INVALID_ARGUMENT when a name is needed.
 */
export function chooseName(plane: DataPlane, named: string | undefined, defaultModel: string | null): string {
  const name = named ?? defaultModel;
  if (name !== null) return plane.languageModel(name) ? name : withoutOwner(name, plane);
  const names = plane.languageModels().map((model) => model.name);
  if (names.length === 1) return names[0]!;
  const have = names.length === 0 ? "no language model is loaded" : `there are ${names.join(", ")}`;
  throw invalid(`'model' is missing, and ${have}: name one, or set default_model`, { param: "model" });
}

const OWNER_AND_NAME = /^[A-Za-z0-9][\w.-]*\/([\w.-]+)$/;

/** Hugging Face and vLLM name a model `owner/name`; names here have no slash. */
function withoutOwner(name: string, plane: DataPlane): string {
  const last = OWNER_AND_NAME.exec(name)?.[1];
  return last !== undefined && plane.languageModel(last) ? last : name;
}

/** @throws CapstanError NOT_FOUND, NOT_READY, or UNSUPPORTED for a model that is no language model. */
export function targetOf(plane: DataPlane, name: string, version: string | undefined): Target {
  plane.signature(name, version);
  const found = plane.languageModel(name);
  if (found === undefined) throw new CapstanError("UNSUPPORTED", `Model '${name}' is not a language model`);
  return { name, version, answering: version || found.version };
}
