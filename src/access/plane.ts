import {
  type Call,
  CapstanError,
  type ChatRequest,
  type InferRequest,
  invalid,
  type Message,
} from "../contracts/index.ts";
import { PlaneLayer } from "../host/plane-layer.ts";
import type { DataPlane, ModelResponse } from "../host/types.ts";
import type { Authenticator } from "./authenticator.ts";
import { type Limits, type Taken, tokensOf } from "./limits/limits.ts";
import { allowsModel, type Role } from "./role.ts";
import type { Usage } from "./usage.ts";

/** Of a request that does not say how much it wants written. */
const DEFAULT_OUTPUT = 256;
const BYTES_PER_TOKEN = 4;

export interface AccessParts {
  readonly authenticator: Authenticator;
  readonly limits: Limits;
  readonly usage: Usage;
}

/** A data plane for callers with keys: their roles say which models they may use, and how much. */
export class AccessPlane extends PlaneLayer {
  readonly #parts: AccessParts;

  constructor(next: DataPlane, parts: AccessParts) {
    super(next);
    this.#parts = parts;
  }

  override infer(model: string, version: string | undefined, request: InferRequest, call: Call) {
    const role = this.#role(model, call);
    const asked = withTokenLimit(request, role, this.#speaks(model));
    const work = () => this.next.infer(model, version, asked, call);
    return this.#once(model, role, this.#speaks(model) ? tensorEstimate(asked) : 0, call, work);
  }

  override inferStream(
    model: string,
    version: string | undefined,
    request: InferRequest,
    call: Call,
  ): AsyncIterable<ModelResponse> {
    const role = this.#role(model, call);
    const asked = withTokenLimit(request, role, this.#speaks(model));
    const work = () => this.next.inferStream(model, version, asked, call);
    return this.#stream(model, role, this.#speaks(model) ? tensorEstimate(asked) : 0, call, work);
  }

  override chat(model: string, version: string | undefined, request: ChatRequest, call: Call) {
    const role = this.#role(model, call);
    const asked = withinRole(request, role);
    const work = () => this.next.chat(model, version, asked, call);
    return this.#stream(model, role, chatEstimate(asked), call, work);
  }

  override embed(model: string, version: string | undefined, texts: readonly string[], call: Call) {
    const role = this.#role(model, call);
    const estimate = texts.reduce((sum, text) => sum + tokensIn(text), 0);
    return this.#once(
      model,
      role,
      estimate,
      call,
      () => this.next.embed(model, version, texts, call),
      estimate,
    );
  }

  override tokenize(model: string, version: string | undefined, text: string, call: Call) {
    this.#role(model, call);
    return this.next.tokenize(model, version, text, call);
  }

  override passthrough(model: string, version: string | undefined, route: string, body: unknown, call: Call) {
    const role = this.#role(model, call);
    return this.#once(model, role, 0, call, () => this.next.passthrough(model, version, route, body, call));
  }

  /** @throws CapstanError PERMISSION_DENIED for a model that the caller's role does not have. */
  #role(model: string, { principal }: Call): Role | undefined {
    if (principal === undefined) return undefined;
    const role = this.#parts.authenticator.roleOf(principal);
    if (role === undefined || allowsModel(role, model)) return role;
    const message = `Key '${principal.id}' may not use model '${model}': its role '${role.name}' has ${role.models.join(", ") || "none"}`;
    throw new CapstanError("PERMISSION_DENIED", message, { param: "model" });
  }

  #speaks(model: string): boolean {
    return this.next.languageModels().some(({ name }) => name === model);
  }

  /** @param counted tokens where the model itself does not tell. */
  async #once<T>(
    model: string,
    role: Role | undefined,
    estimate: number,
    call: Call,
    work: () => Promise<T>,
    counted?: number,
  ): Promise<T> {
    const taken = await this.#take(role, estimate, call);
    try {
      const answer = await work();
      if (call.record !== undefined && counted !== undefined) call.record.inputTokens ??= counted;
      return answer;
    } finally {
      this.#settle(model, taken, call);
    }
  }

  async *#stream<T>(
    model: string,
    role: Role | undefined,
    estimate: number,
    call: Call,
    work: () => AsyncIterable<T>,
  ): AsyncGenerator<T> {
    const taken = await this.#take(role, estimate, call);
    try {
      yield* work();
    } finally {
      this.#settle(model, taken, call);
    }
  }

  async #take(role: Role | undefined, estimate: number, call: Call): Promise<Taken | undefined> {
    if (role === undefined) return undefined;
    const taken = await this.#parts.limits.take(call.principal!.id, role, estimate);
    if (call.record !== undefined) call.record.headers = { ...call.record.headers, ...taken.headers };
    return taken;
  }

  #settle(model: string, taken: Taken | undefined, { principal, record = {} }: Call): void {
    taken?.settle(tokensOf(record));
    if (principal === undefined) return;
    this.#parts.usage.add(principal.id, model, record.inputTokens, record.outputTokens);
  }
}

function withinRole(request: ChatRequest, role: Role | undefined): ChatRequest {
  const most = role?.maxTokens ?? null;
  if (most === null) return request;
  const { maxTokens = most } = request.sampling;
  checkMaxTokens(maxTokens, most);
  return { ...request, sampling: { ...request.sampling, maxTokens } };
}

function withTokenLimit(request: InferRequest, role: Role | undefined, speaks: boolean): InferRequest {
  const most = role?.maxTokens ?? null;
  if (most === null || !speaks) return request;
  const asked = Number(request.parameters.max_tokens ?? most);
  checkMaxTokens(asked, most);
  return { ...request, parameters: { ...request.parameters, max_tokens: asked } };
}

function checkMaxTokens(asked: number, most: number): void {
  if (asked <= most) return;
  throw invalid(`'max_tokens' is ${asked}, and your role allows ${most}`, { param: "max_tokens" });
}

const tokensIn = (text: string) => Math.ceil(Buffer.byteLength(text) / BYTES_PER_TOKEN);

function chatEstimate({ messages = [], prompt = "", sampling, n = 1 }: ChatRequest): number {
  const input = tokensIn(prompt) + messages.reduce((sum, message) => sum + messageTokens(message), 0);
  return input + n * (sampling.maxTokens ?? DEFAULT_OUTPUT);
}

function messageTokens({ content }: Message): number {
  return tokensIn(typeof content === "string" ? content : JSON.stringify(content));
}

function tensorEstimate({ inputs, parameters }: InferRequest): number {
  const [texts = []] = inputs.map(({ data }) => (Array.isArray(data) ? data : []));
  const input = texts.reduce((sum, { length }) => sum + Math.ceil(length / BYTES_PER_TOKEN), 0);
  return input + texts.length * Number(parameters.max_tokens ?? DEFAULT_OUTPUT);
}
