import { hash } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { Call, InferRequest, InferResponse, Tensor } from "../contracts/index.ts";
import { keyOf } from "./batching/tensors.ts";
import { SharedCall } from "./shared-call.ts";

interface Flight {
  readonly shared: SharedCall;
  readonly answer: Promise<InferResponse>;
}

export interface Cached {
  readonly response: InferResponse;
  readonly hit: boolean;
}

const BYTES_OF_AN_ENTRY = 512;

/** Answers that are kept, of all models together; the least used go when there are too many bytes. */
export class ResponseCache {
  readonly #answers: LRUCache<string, InferResponse>;
  readonly #flights = new Map<string, Flight>();

  constructor(maxBytes: number) {
    this.#answers = new LRUCache({
      maxSize: maxBytes,
      maxEntrySize: Math.max(1, Math.floor(maxBytes / 4)),
      sizeCalculation: ({ outputs }) => outputs.reduce((sum, each) => sum + bytesOf(each), BYTES_OF_AN_ENTRY),
    });
  }

  /**
   * The kept answer to an equal request of the same generation, or what `run` gives. Equal requests at the same time
   * run once, and that run stops when the last of them has left.
   */
  async answer(
    generation: number,
    request: InferRequest,
    call: Call,
    run: (call: Call) => Promise<InferResponse>,
  ): Promise<Cached> {
    const key = contentKey(generation, request);
    const kept = this.#answers.get(key);
    if (kept !== undefined) return { response: kept, hit: true };
    const flying = this.#flights.get(key);
    // One that everybody has left is on its way to its end.
    if (flying !== undefined && !flying.shared.signal.aborted)
      return { response: await joined(flying, call), hit: true };
    const flight = this.#start(key, call, run);
    return { response: await joined(flight, call), hit: false };
  }

  /** It belongs to all who wait for it: it has neither the signal nor the deadline of the first. */
  #start(key: string, call: Call, run: (call: Call) => Promise<InferResponse>): Flight {
    const shared = SharedCall.of([]);
    const { deadline: _, ...others } = call;
    const answer = run({ ...others, signal: shared.signal }).then((response) => {
      const copy = owned(response);
      this.#answers.set(key, copy);
      return copy;
    });
    const flight = { shared, answer };
    this.#flights.set(key, flight);
    const landed = () => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
      shared[Symbol.dispose]();
    };
    answer.then(landed, landed);
    return flight;
  }
}

/** The flight's answer, unless this caller leaves before. */
function joined({ shared, answer }: Flight, { signal }: Call): Promise<InferResponse> {
  shared.join(signal);
  const { promise, resolve, reject } = Promise.withResolvers<InferResponse>();
  const leave = () => reject(signal.reason);
  signal.addEventListener("abort", leave);
  if (signal.aborted) leave();
  answer.then(resolve, reject);
  return promise.finally(() => signal.removeEventListener("abort", leave));
}

/** By content: the bytes of every input, and all that the answer depends on besides. */
function contentKey(generation: number, request: InferRequest): string {
  const parts = request.inputs.map(({ shape, data }) => `${shape.join(",")}:${digest(data)}`);
  return `${generation}\n${keyOf(request)}\n${parts.join(";")}`;
}

function digest(data: Tensor["data"]): string {
  if (!Array.isArray(data))
    return hash("sha256", new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  const lengths = Buffer.from(Uint32Array.from(data, ({ length }) => length).buffer);
  return hash("sha256", Buffer.concat([lengths, ...data]));
}

function bytesOf({ data }: Tensor): number {
  if (!Array.isArray(data)) return data.byteLength;
  return data.reduce((sum, { length }) => sum + length + 16, 0);
}

/** Rows of a batch are views of all of it: what is kept has its own memory. */
function owned({ outputs, parameters }: InferResponse): InferResponse {
  const copies = outputs.map((output) => ({ ...output, data: output.data.slice() as Tensor["data"] }));
  return { outputs: copies, ...(parameters === undefined ? {} : { parameters }) };
}
