import type {
  Call,
  CapLLM,
  ChatRequest,
  Completion,
  Embeddings,
  InferRequest,
  InferResponse,
  Part,
  Runtime,
} from "../../contracts/index.ts";
import type { WorkerPool } from "./pool.ts";
import { type ResponseHead, responseOf } from "./responses.ts";
import type { Ability } from "./task.ts";
import { type Packed, packRequest, unpackResponse } from "./tensors.ts";

/** A runtime whose work is done by the workers of a pool, which it owns. */
export function isolatedRuntime(pool: WorkerPool): Runtime {
  const { runtime, abilities } = pool.described;
  const { streams, prepares: _, ...described } = runtime!;
  return {
    ...described,
    concurrency: pool.size,
    infer: (request, call) => infer(pool, request, call),
    ...(streams ? { inferStream: (request, call) => inferStream(pool, request, call) } : {}),
    ...(abilities === undefined ? {} : { llm: isolatedLLM(pool) }),
    ready: () => pool.ready,
    [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose](),
  };
}

/** A language model in the same way; it can do what the model can do. */
export function isolatedLLM(pool: WorkerPool): CapLLM {
  const able = Object.fromEntries(
    Object.entries(abilities(pool)).filter(([name]) => pool.described.abilities!.includes(name as Ability)),
  );
  const { applicationInputs: inputs } = pool.described;
  return {
    ...able,
    ...(inputs === undefined ? {} : { inputs }),
    streamTokens: (request, call) => streamTokens(pool, request, call),
    [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose](),
  };
}

async function infer(pool: WorkerPool, request: InferRequest, call: Call): Promise<InferResponse> {
  const { peer } = await pool.worker(call);
  const packed = packRequest(request);
  return unpackResponse(await peer.ask<Packed<InferResponse>>("infer", packed, call, [packed.buffer]));
}

async function* inferStream(pool: WorkerPool, request: InferRequest, call: Call) {
  const { peer } = await pool.worker(call);
  const packed = packRequest(request);
  const answers = peer.stream<Packed<InferResponse>>("inferStream", packed, call, [packed.buffer]);
  for await (const answer of answers) yield unpackResponse(answer);
}

async function* streamTokens(pool: WorkerPool, request: ChatRequest, call: Call): AsyncGenerator<Part> {
  const { peer } = await pool.worker(call);
  yield* peer.stream<Part>("streamTokens", request, call);
}

function abilities(pool: WorkerPool): Required<Pick<CapLLM, Ability>> {
  const ask = async <T>(method: Ability, args: unknown, call: Call): Promise<T> =>
    (await pool.worker(call)).peer.ask<T>(method, args, call);
  return {
    predictText: (request, call) => ask<Completion>("predictText", request, call),
    embed: (texts, call) => ask<Float32Array[] | Embeddings>("embed", texts, call),
    tokenize: (text, call) => ask<readonly number[]>("tokenize", text, call),
    passthrough: async (route, body, call) => {
      const { peer } = await pool.worker(call);
      return responseOf(peer.stream<ResponseHead | Uint8Array>("passthrough", { route, body }, call));
    },
  };
}
