import { type Datatype, ERROR_TABLE, type ErrorCode } from "../../src/contracts/index.ts";
import { TestClient } from "../support/grpc.ts";
import { serve, type TestServer } from "../support/server.ts";
import type { Answer, Ask, Refusal } from "./asks.ts";
import { overGrpc, overStream } from "./over-grpc.ts";
import { overBinary, overJson } from "./over-http.ts";

export interface Transport {
  readonly name: string;
  readonly kind: "http" | "grpc";
  /** Whether tensors of this datatype have a form here. */
  takes(datatype: Datatype): boolean;
  infer(ask: Ask): Promise<Answer | Refusal>;
}

/** A server with every transport in front of it. */
export interface Transports extends AsyncDisposable {
  readonly server: TestServer;
  readonly grpc: TestClient;
  readonly all: readonly Transport[];
  /** By ModelStreamInfer, whose errors are texts without a number: `CODE: message`. */
  stream(ask: Ask): Promise<Answer | string>;
}

export async function serveTransports(
  root: string,
  settings: Record<string, unknown> = {},
): Promise<Transports> {
  const server = await serve(root, settings);
  const grpc = new TestClient(`127.0.0.1:${server.running.grpc.port}`);
  const any = () => true;
  const all: Transport[] = [
    { name: "HTTP JSON", kind: "http", takes: any, infer: (ask) => overJson(server, ask) },
    { name: "HTTP binary", kind: "http", takes: any, infer: (ask) => overBinary(server, ask) },
    { name: "gRPC typed", kind: "grpc", takes: hasContents, infer: (ask) => overGrpc(grpc, ask, false) },
    { name: "gRPC raw", kind: "grpc", takes: any, infer: (ask) => overGrpc(grpc, ask, true) },
  ];
  const stream = (ask: Ask) => overStream(grpc, ask);
  return {
    server,
    grpc,
    all,
    stream,
    async [Symbol.asyncDispose]() {
      grpc.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** V2 has no typed contents for these. */
const hasContents = (datatype: Datatype) => datatype !== "FP16" && datatype !== "BF16";

/** The number a transport has for an error. */
export const numberOf = (transport: Transport, code: ErrorCode): number => ERROR_TABLE[code][transport.kind];
