import type { Server, sendUnaryData } from "@grpc/grpc-js";
import { CapstanError, invalid } from "../contracts/index.ts";
import type { ServerSettings } from "../settings/server.ts";
import { type DuplexStream, Exchange, type OutgoingStream, type UnaryCall } from "./exchange.ts";
import type { GrpcParts } from "./parts.ts";
import { answerMetadata, statusOf } from "./status.ts";
import type { Method } from "./wire.ts";

/** Answers one request. What it throws becomes the status. */
export type Unary<Request, ResponseInit> = (
  request: Request,
  exchange: Exchange,
) => ResponseInit | Promise<ResponseInit>;

const bytes = (message: Buffer): Buffer => message;

/** Puts a method with one request and one answer on the server. */
export function addUnary<QI, Q extends QI, AI, A extends AI>(
  server: Server,
  parts: GrpcParts,
  method: Method<QI, Q, AI, A>,
  handle: Unary<Q, AI>,
): void {
  const answer = async (call: UnaryCall, respond: sendUnaryData<Buffer>): Promise<void> => {
    const exchange = new Exchange(call, method.path, parts);
    try {
      await exchange.admit();
      const response = await handle(decodeRequest(method, call.request), exchange);
      const message = checkReplySize(method.responseSerialize(response), parts.settings);
      call.sendMetadata(answerMetadata(exchange));
      respond(null, message);
    } catch (error) {
      respond(statusOf(exchange, error));
    } finally {
      exchange.close();
    }
  };
  server.register(
    method.path,
    (call: UnaryCall, respond: sendUnaryData<Buffer>) => void answer(call, respond),
    bytes,
    bytes,
    "unary",
  );
}

type AnyMethod = { readonly path: string };

/** Puts a method with one request and a stream of answers on the server. */
export function addServerStream(
  server: Server,
  method: AnyMethod,
  handle: (call: OutgoingStream) => void,
): void {
  server.register(method.path, handle, bytes, bytes, "serverStream");
}

/** Puts a method with a stream both ways on the server. */
export function addDuplex(server: Server, method: AnyMethod, handle: (call: DuplexStream) => void): void {
  server.register(method.path, handle, bytes, bytes, "bidi");
}

/**
 * A request from its bytes.
 * @throws CapstanError INVALID_ARGUMENT: grpc-js by itself would answer INTERNAL.
 */
export function decodeRequest<Request>(
  method: { readonly path: string; requestDeserialize(message: Buffer): Request },
  message: Buffer,
): Request {
  try {
    return method.requestDeserialize(message);
  } catch (cause) {
    const name = method.path.slice(method.path.lastIndexOf("/") + 1);
    throw invalid(`The request of ${name} is not valid protobuf: ${(cause as Error).message}`, { cause });
  }
}

/** @throws CapstanError TOO_LARGE with the setting's name. */
export function checkReplySize(reply: Buffer, { grpc_max_message_length: limit }: ServerSettings): Buffer {
  if (limit < 0 || reply.length <= limit) return reply;
  throw new CapstanError(
    "TOO_LARGE",
    `The answer has ${reply.length} bytes, more than the ${limit} of setting grpc_max_message_length; ask for fewer outputs or rows`,
  );
}
