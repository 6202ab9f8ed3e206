import {
  type Call,
  type CallRecord,
  CapstanError,
  type ChatRequest,
  type InferRequest,
  type Part,
  toCapstanError,
} from "../../contracts/index.ts";
import { whenRead } from "../../host/held-response.ts";
import { PlaneLayer } from "../../host/plane-layer.ts";
import type { DataPlane } from "../../host/types.ts";
import { READ_CHARACTERS } from "./redact.ts";
import { type Described, type Outcome, RequestRow } from "./row.ts";
import type { LogWriter } from "./writer.ts";

/** On a request's record: a WeakMap of records costs the garbage collector more than the row does. */
const ROW = Symbol("row");
type LoggedRecord = CallRecord & { [ROW]?: RequestRow };

/** A data plane that writes one row for every request to a model that is there, however it ends. */
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
    const described = { model, operation: "infer", session: sessionOf(request) };
    return this.#once(described, call, () => this.next.infer(model, version, request, call));
  }

  override inferStream(model: string, version: string | undefined, request: InferRequest, call: Call) {
    const described = { model, operation: "infer_stream", session: sessionOf(request) };
    return this.#stream(described, call, () => this.next.inferStream(model, version, request, call));
  }

  override chat(
    model: string,
    version: string | undefined,
    request: ChatRequest,
    call: Call,
  ): AsyncIterable<Part> {
    const asked = this.#bodies ? (request.prompt ?? JSON.stringify(request.messages)) : undefined;
    const described = { model, operation: "chat", session: request.session, asked };
    return this.#stream(described, call, () => this.next.chat(model, version, request, call));
  }

  override embed(model: string, version: string | undefined, texts: readonly string[], call: Call) {
    const described = { model, operation: "embed", asked: this.#bodies ? JSON.stringify(texts) : undefined };
    return this.#once(described, call, () => this.next.embed(model, version, texts, call));
  }

  /** The request is over when its answer was read. */
  override async passthrough(
    model: string,
    version: string | undefined,
    route: string,
    body: unknown,
    call: Call,
  ) {
    const described = { model, operation: route };
    const row = this.#begin(described, call);
    try {
      const response = await this.next.passthrough(model, version, route, body, call);
      return whenRead(response, (whole) => this.#end(row, described, call, answered(response, whole, call)));
    } catch (thrown) {
      this.#end(row, described, call, { error: toCapstanError(thrown) });
      throw thrown;
    }
  }

  async #once<T>(described: Described, call: Call, work: () => Promise<T>): Promise<T> {
    const row = this.#begin(described, call);
    let outcome: Outcome = {};
    try {
      return await work();
    } catch (thrown) {
      outcome = { error: toCapstanError(thrown) };
      throw thrown;
    } finally {
      this.#end(row, described, call, outcome);
    }
  }

  async *#stream<T>(described: Described, call: Call, work: () => AsyncIterable<T>): AsyncGenerator<T> {
    const row = this.#begin(described, call);
    let outcome: Outcome = { left: true };
    let text = this.#bodies && described.operation === "chat" ? "" : undefined;
    try {
      for await (const item of work()) {
        if (text !== undefined && text.length < READ_CHARACTERS) text += textOf(item);
        yield item;
      }
      outcome = {};
    } catch (thrown) {
      outcome = { error: toCapstanError(thrown) };
      throw thrown;
    } finally {
      this.#end(row, described, call, { ...outcome, answered: text });
    }
  }

  #begin(described: Described, call: Call): RequestRow {
    const record: LoggedRecord = call.record ?? {};
    record[ROW] ??= new RequestRow(described, call);
    return record[ROW];
  }

  /**
   * A request that its caller's role or a name nobody serves kept from every model has no row: some transports refuse it
   * before it comes here, and the name would be of the caller's making.
   */
  #end(row: RequestRow, { model, asked }: Described, { record }: Call, outcome: Outcome): void {
    const { error } = outcome;
    if (error !== undefined && record?.version === undefined) {
      if (error.code === "PERMISSION_DENIED" || !this.#isThere(model)) return;
    }
    row.ended(asked, outcome);
    this.#writer.add(row.row);
  }

  #isThere(model: string): boolean {
    try {
      this.next.signature(model, undefined);
      return true;
    } catch (error) {
      return toCapstanError(error).code !== "NOT_FOUND";
    }
  }
}

/** An upstream's own refusal is passed on as its answer. */
function answered({ status }: Response, whole: boolean, { signal }: Call): Outcome {
  if (!whole && signal.aborted) return { left: true };
  if (whole && status < 400) return {};
  const what = whole ? `answered ${status}` : "broke off";
  return { error: new CapstanError("UPSTREAM", `The upstream ${what}`) };
}

function sessionOf({ parameters }: InferRequest): string | undefined {
  return typeof parameters.session_id === "string" ? parameters.session_id : undefined;
}

function textOf(item: unknown): string {
  const { type, text } = item as Partial<Extract<Part, { type: "text" }>>;
  return type === "text" && text !== undefined ? text : "";
}
