import type { Call, ChatRequest, InferRequest, Part, TensorSpec } from "../contracts/index.ts";
import type {
  DataPlane,
  ModelConfig,
  ModelMetadata,
  ModelResponse,
  ModelStatistics,
  ServerMetadata,
} from "./types.ts";

/**
 * A data plane in front of another one: what it does not change goes on as it is. Transports call the outermost
 * layer; models that call each other in process call the innermost plane.
 */
export class PlaneLayer implements DataPlane {
  protected readonly next: DataPlane;

  constructor(next: DataPlane) {
    this.next = next;
  }

  infer(model: string, version: string | undefined, request: InferRequest, call: Call) {
    return this.next.infer(model, version, request, call);
  }

  inferStream(
    model: string,
    version: string | undefined,
    request: InferRequest,
    call: Call,
  ): AsyncIterable<ModelResponse> {
    return this.next.inferStream(model, version, request, call);
  }

  streams(model: string, version: string | undefined): boolean {
    return this.next.streams(model, version);
  }

  chat(model: string, version: string | undefined, request: ChatRequest, call: Call): AsyncIterable<Part> {
    return this.next.chat(model, version, request, call);
  }

  embed(model: string, version: string | undefined, texts: readonly string[], call: Call) {
    return this.next.embed(model, version, texts, call);
  }

  tokenize(model: string, version: string | undefined, text: string, call: Call) {
    return this.next.tokenize(model, version, text, call);
  }

  passthrough(model: string, version: string | undefined, route: string, body: unknown, call: Call) {
    return this.next.passthrough(model, version, route, body, call);
  }

  languageModels() {
    return this.next.languageModels();
  }

  languageModel(name: string) {
    return this.next.languageModel(name);
  }

  signature(model: string, version: string | undefined): readonly TensorSpec[] | undefined {
    return this.next.signature(model, version);
  }

  serverMetadata(): ServerMetadata {
    return this.next.serverMetadata();
  }

  serverReady(): boolean {
    return this.next.serverReady();
  }

  modelMetadata(model: string, version?: string): ModelMetadata {
    return this.next.modelMetadata(model, version);
  }

  modelReady(model: string, version?: string): boolean {
    return this.next.modelReady(model, version);
  }

  modelConfig(model: string, version?: string): ModelConfig {
    return this.next.modelConfig(model, version);
  }

  statistics(model?: string, version?: string): readonly ModelStatistics[] {
    return this.next.statistics(model, version);
  }
}
