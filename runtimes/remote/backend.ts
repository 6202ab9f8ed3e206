import {
  type Call,
  type ErrorCode,
  type InferRequest,
  type InferResponse,
  isCapstanError,
  type TensorSpec,
} from "../../src/contracts/index.ts";
import type { Address } from "./address.ts";
import type { RemoteOptions } from "./options.ts";

/** What the other server says about the model. */
export interface RemoteMetadata {
  readonly platform?: string;
  /** Absent where the server gives none, as MLServer does for many models. */
  readonly inputs?: readonly TensorSpec[];
  readonly outputs?: readonly TensorSpec[];
}

/** The model on one server. Errors that leave the request unexecuted are `NotExecuted`. */
export interface Backend extends AsyncDisposable {
  readonly address: Address;
  metadata(call: Call): Promise<RemoteMetadata>;
  /** False as well when the server cannot be reached. */
  ready(call: Call): Promise<boolean>;
  infer(request: InferRequest, call: Call): Promise<InferResponse>;
  inferStream?(request: InferRequest, call: Call): AsyncIterable<InferResponse>;
}

/** PEM files, read. */
export interface TlsFiles {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

export interface BackendParts {
  readonly address: Address;
  /** The model's name and version on the other server; version "" lets it pick. */
  readonly model: string;
  readonly version: string;
  readonly options: RemoteOptions;
  readonly tls: TlsFiles;
}

/** How messages name a backend. */
export function whereOf({ model, address }: Pick<BackendParts, "model" | "address">): string {
  return `Remote model '${model}' at ${address.label}`;
}

/** In the server metadata of those that take tensors, and bytes with them, as they are. */
const BINARY_EXTENSION = "binary_tensor_data";

/** How a server says that it has no server metadata to give, as some proxies in front of one do. */
const NO_METADATA: ReadonlySet<ErrorCode> = new Set(["NOT_FOUND", "UNSUPPORTED", "INVALID_ARGUMENT"]);

/** Whether the extensions that a server lists hold the binary tensor extension. */
export async function listsBinary(extensions: Promise<unknown>): Promise<boolean> {
  try {
    const list = await extensions;
    return Array.isArray(list) && list.includes(BINARY_EXTENSION);
  } catch (error) {
    if (isCapstanError(error) && NO_METADATA.has(error.code)) return false;
    throw error;
  }
}

/** One backend and what is known of it. */
export interface Member {
  readonly backend: Backend;
  /** Requests under way. */
  load: number;
  /** As of the last health check, or of what happened to a request since. */
  up: boolean;
}
