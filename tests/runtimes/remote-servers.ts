/** Small V2 servers on real sockets, whose every answer a test decides. */
import { createServer, type IncomingHttpHeaders, type RequestListener, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import {
  type Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
} from "@grpc/grpc-js";
import type { inference } from "../../src/grpc/generated/inference.js";
import { GRPCInferenceService } from "../../src/grpc/generated/services.ts";

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** Answers one request; undefined leaves it to the defaults. */
export type Route = (seen: Seen, response: ServerResponse) => void;

export interface HttpServer extends AsyncDisposable {
  readonly url: string;
  readonly seen: Seen[];
  /** Infer requests whose connection was closed before they were answered. */
  aborted: number;
  /** What infer does; echoing at first. */
  infer: Route;
  /** What every other route does, by path. */
  readonly routes: Record<string, Route>;
  stop(): Promise<void>;
}

export const json = (response: ServerResponse, value: unknown, status = 200): void => {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
};

export interface HttpServerOptions {
  readonly metadata?: unknown;
  readonly extensions?: readonly string[];
  readonly tls?: ServerOptions;
  readonly port?: number;
}

/** A model named `m` that gives back its inputs, as JSON or as binary, just as they came. */
export async function httpServer(options: HttpServerOptions = {}): Promise<HttpServer> {
  const routes: Record<string, Route> = {
    "/v2": (_, response) => json(response, { name: "fake", extensions: options.extensions ?? [] }),
    "/v2/models/m": (_, response) =>
      json(response, options.metadata ?? { name: "m", inputs: [], outputs: [] }),
    "/v2/models/m/ready": (_, response) => json(response, {}),
  };
  const handle: RequestListener = async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = "", url: path = "", headers } = request;
    const seen: Seen = { method, path, headers, body: Buffer.concat(chunks) };
    server.seen.push(seen);
    const route = path.endsWith("/infer") ? server.infer : routes[path];
    if (path.endsWith("/infer")) response.on("close", () => countAborted(response));
    if (route === undefined) json(response, { error: `no route ${path}` }, 404);
    else route(seen, response);
  };
  const countAborted = (response: ServerResponse): void => {
    if (!response.writableFinished) server.aborted += 1;
  };
  const listener = options.tls ? createTlsServer(options.tls, handle) : createServer(handle);
  await new Promise<void>((resolve) => listener.listen(options.port ?? 0, "127.0.0.1", resolve));
  const { port } = listener.address() as AddressInfo;
  const stop = (): Promise<void> =>
    new Promise((resolve) => {
      listener.close(() => resolve());
      listener.closeAllConnections();
    });
  const server: HttpServer = {
    url: `${options.tls ? "https" : "http"}://127.0.0.1:${port}`,
    seen: [],
    aborted: 0,
    infer: echo,
    routes,
    stop,
    [Symbol.asyncDispose]: stop,
  };
  return server;
}

/** Text, so that no number passes through this side's JSON. */
export const echo: Route = ({ headers, body }, response) => {
  const length = Number(headers["inference-header-content-length"] ?? body.length);
  const asked = body
    .subarray(0, length)
    .toString("utf8")
    .replace(/,"outputs":\[.*\]\}$/, "}");
  const head = Buffer.from(asked.replace('"inputs":', '"outputs":'));
  const binary = headers["inference-header-content-length"] !== undefined;
  response.writeHead(200, {
    "content-type": binary ? "application/octet-stream" : "application/json",
    ...(binary ? { "inference-header-content-length": String(head.length) } : {}),
  });
  response.end(Buffer.concat([head, body.subarray(length)]));
};

type InferCall = ServerUnaryCall<inference.ModelInferRequest, inference.ModelInferResponse.Init>;
type InferDone = sendUnaryData<inference.ModelInferResponse.Init>;
export type StreamCall = ServerDuplexStream<
  inference.ModelInferRequest,
  inference.ModelStreamInferResponse.Init
>;

export interface GrpcServer extends AsyncDisposable {
  readonly url: string;
  readonly seen: inference.ModelInferRequest[];
  readonly metadata: Metadata[];
  deadline: Date | number | undefined;
  cancelled: number;
  infer: (call: InferCall, done: InferDone) => void;
  stream: (call: StreamCall) => void;
  ready: boolean;
  extensions: readonly string[];
  model: inference.ModelMetadataResponse.Init;
}

/** The request's tensors as a response. */
export const echoed = ({
  modelName,
  id,
  inputs,
  rawInputContents,
}: inference.ModelInferRequest): inference.ModelInferResponse.Init => ({
  modelName,
  modelVersion: "1",
  id,
  outputs: inputs,
  rawOutputContents: rawInputContents,
});

export interface GrpcServerOptions {
  readonly credentials?: ServerCredentials;
  readonly maxReceive?: number;
  readonly port?: number;
}

/** The gRPC counterpart of {@link httpServer}. */
export async function grpcServer(options: GrpcServerOptions = {}): Promise<GrpcServer> {
  const listener = new Server({
    "grpc.max_receive_message_length": options.maxReceive ?? -1,
    "grpc.max_send_message_length": -1,
  });
  const service = GRPCInferenceService;
  listener.addService(
    {
      ServerMetadata: service.ServerMetadata,
      ModelMetadata: service.ModelMetadata,
      ModelReady: service.ModelReady,
      ModelInfer: service.ModelInfer,
      ModelStreamInfer: service.ModelStreamInfer,
    },
    {
      ServerMetadata: (_: unknown, done: Done) => done(null, { extensions: server.extensions }),
      ModelMetadata: (call: ServerUnaryCall<inference.ModelMetadataRequest, unknown>, done: Done) =>
        call.request.name === "m" ? done(null, server.model) : done({ code: 5, details: "unknown model" }),
      ModelReady: (_: unknown, done: Done) => done(null, { ready: server.ready }),
      ModelInfer: (call: InferCall, done: InferDone) => {
        server.seen.push(call.request);
        server.metadata.push(call.metadata);
        server.deadline = call.getDeadline();
        call.on("cancelled", () => {
          server.cancelled += 1;
        });
        server.infer(call, done);
      },
      ModelStreamInfer: (call: StreamCall) => {
        call.on("cancelled", () => {
          server.cancelled += 1;
        });
        server.stream(call);
      },
    },
  );
  const address = `127.0.0.1:${options.port ?? 0}`;
  const port = await new Promise<number>((resolve, reject) => {
    listener.bindAsync(address, options.credentials ?? ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const server: GrpcServer = {
    url: `${options.credentials ? "grpcs" : "grpc"}://127.0.0.1:${port}`,
    seen: [],
    metadata: [],
    deadline: undefined,
    cancelled: 0,
    infer: (call, done) => done(null, echoed(call.request)),
    stream: (call) => call.end(),
    ready: true,
    extensions: [],
    model: { name: "m", platform: "fake" },
    async [Symbol.asyncDispose]() {
      listener.forceShutdown();
    },
  };
  return server;
}

type Done = (error: { code: number; details: string } | null, answer?: unknown) => void;

/** An address where nothing listens. */
export async function deadPort(): Promise<number> {
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address() as AddressInfo;
  await new Promise((resolve) => listener.close(resolve));
  return port;
}
