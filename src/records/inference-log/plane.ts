import {
  type Call,
  type CapstanError,
  type ChatRequest,
  type InferRequest,
  type Part,
  toCapstanError,
} from "../../contracts/index.ts";
import { PlaneLayer } from "../../host/plane-layer.ts";
import type { DataPlane } from "../../host/types.ts";
import { type Outcome, rowOf } from "./row.ts";
import type { LogWriter } from "./writer.ts";

type Described = Omit<Outcome, "startedAt" | "started">;

/** A data plane that writes a row for every request to a model. */
export class LogPlane extends PlaneLayer {
  readonly #writer: LogWriter;
  readonly #bodies: boolean;

  /** @param bodies whether what was asked and answered is kept. */
  constructor(next: DataPlane, writer: LogWriter, bodies: boolean) {
    super(next);
    this.#writer = writer;
    this.#bodies = bodies;
  }

  override infer(model: string, version: string | undefined, request: InferRequest, call: Call) {
    const session = request.parameters.session_id;
    const described = {
      model,
      operation: "infer",
      session: typeof session === "string" ? session : undefined,
    };
    return this.#once(described, call, () => this.next.infer(model, version, request, call));
  }

  override inferStream(model: string, version: string | undefined, request: InferRequest, call: Call) {
    const described = { model, operation: "infer_stream" };
    return this.#stream(described, call, () => this.next.inferStream(model, version, request, call));
  }

  override chat(
    model: string,
    version: string | undefined,
    request: ChatRequest,
    call: Call,
  ): AsyncIterable<Part> {
    const asked = this.#bodies ? JSON.stringify(request.messages ?? request.prompt) : undefined;
    const described = { model, operation: "chat", session: request.session, asked };
    return this.#stream(described, call, () => this.next.chat(model, version, request, call));
  }

  override embed(model: string, version: string | undefined, texts: readonly string[], call: Call) {
    const described = { model, operation: "embed", asked: this.#bodies ? JSON.stringify(texts) : undefined };
    return this.#once(described, call, () => this.next.embed(model, version, texts, call));
  }

  override passthrough(model: string, version: string | undefined, route: string, body: unknown, call: Call) {
    return this.#once({ model, operation: route }, call, () =>
      this.next.passthrough(model, version, route, body, call),
    );
  }

  async #once<T>(described: Described, call: Call, work: () => Promise<T>): Promise<T> {
    const [startedAt, started] = [Date.now(), performance.now()];
    let error: CapstanError | undefined;
    try {
      return await work();
    } catch (thrown) {
      error = toCapstanError(thrown);
      throw thrown;
    } finally {
      this.#writer.add(rowOf({ ...described, startedAt, started, error }, call));
    }
  }

  async *#stream<T>(described: Described, call: Call, work: () => AsyncIterable<T>): AsyncGenerator<T> {
    const [startedAt, started] = [Date.now(), performance.now()];
    let error: CapstanError | undefined;
    let left = true;
    let answered = this.#bodies && described.operation === "chat" ? "" : undefined;
    try {
      for await (const item of work()) {
        if (answered !== undefined) answered += textOf(item);
        yield item;
      }
      left = false;
    } catch (thrown) {
      left = false;
      error = toCapstanError(thrown);
      throw thrown;
    } finally {
      this.#writer.add(rowOf({ ...described, startedAt, started, error, left, answered }, call));
    }
  }
}

function textOf(item: unknown): string {
  const { type, text } = item as Partial<Extract<Part, { type: "text" }>>;
  return type === "text" && text !== undefined ? text : "";
}
