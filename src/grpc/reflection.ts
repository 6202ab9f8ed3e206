import type { Server } from "@grpc/grpc-js";
import { type DuplexStream, Exchange } from "./exchange.ts";
import { FILES } from "./generated/descriptors.ts";
import type { grpc } from "./generated/reflection.js";
import { ServerReflection } from "./generated/services.ts";
import { Outlet } from "./outlet.ts";
import type { GrpcParts } from "./parts.ts";
import { addDuplex, decodeRequest } from "./rpc.ts";
import { requestIdMetadata, statusOf } from "./status.ts";

type Request = grpc.reflection.v1.ServerReflectionRequest;
type Response = grpc.reflection.v1.ServerReflectionResponse.Init;

const METHOD = ServerReflection.ServerReflectionInfo;
/** Older clients ask under this name; the messages are the same. */
const OLDER_PATH = METHOD.path.replace(".v1.", ".v1alpha.");

/** Numbers of gRPC status codes, which stand inside the answers. */
const NOT_FOUND = 5;
const UNIMPLEMENTED = 12;

/** Server reflection v1 and v1alpha over the descriptors of every service here. */
export function addReflection(server: Server, parts: GrpcParts, stopping: AbortSignal): void {
  for (const path of [METHOD.path, OLDER_PATH]) {
    addDuplex(server, { path }, (stream) => {
      const exchange = new Exchange(stream, path, parts);
      void converse(stream, exchange, stopping).catch((error) => {
        if (!stream.cancelled) stream.emit("error", statusOf(exchange, error));
      });
    });
  }
}

/** One answer for each question, one at a time. */
async function converse(stream: DuplexStream, exchange: Exchange, stopping: AbortSignal): Promise<void> {
  stream.sendMetadata(requestIdMetadata(exchange.requestId));
  const outlet = new Outlet(stream);
  const end = () => void stream.end();
  stopping.addEventListener("abort", end);
  stream.once("close", () => stopping.removeEventListener("abort", end));
  for await (const message of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    const reply = METHOD.responseSerialize(answer(decodeRequest(METHOD, message)));
    if (!(await outlet.write(reply))) return;
  }
  stream.end();
}

function answer(request: Request): Response {
  return { validHost: request.host, originalRequest: request, ...found(request) };
}

function found(request: Request): Response {
  const { fileByFilename, fileContainingSymbol, listServices } = request;
  if (listServices !== null) {
    return {
      listServicesResponse: { service: FILES.flatMap((file) => file.services.map((name) => ({ name }))) },
    };
  }
  if (fileByFilename !== null) return fileAnswer(fileByFilename, ({ file }) => file === fileByFilename);
  if (fileContainingSymbol !== null) {
    const symbols = (file: (typeof FILES)[number]): readonly string[] => file.symbols;
    return fileAnswer(fileContainingSymbol, (file) => symbols(file).includes(fileContainingSymbol));
  }
  if (request.fileContainingExtension === null && request.allExtensionNumbersOfType === null) {
    return failure(UNIMPLEMENTED, "The request asks for nothing that is known here");
  }
  return failure(NOT_FOUND, "The messages of this server have no extensions");
}

function fileAnswer(asked: string, matches: (file: (typeof FILES)[number]) => boolean): Response {
  const file = FILES.find(matches);
  if (file === undefined) return failure(NOT_FOUND, `'${asked}' is not known here`);
  return { fileDescriptorResponse: { fileDescriptorProto: [Buffer.from(file.bytes, "base64")] } };
}

function failure(errorCode: number, errorMessage: string): Response {
  return { errorResponse: { errorCode, errorMessage } };
}
