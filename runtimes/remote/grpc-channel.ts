import { Client, connectivityState, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import type { Call, TraceSpan } from "../../src/contracts/index.ts";
import type { Method } from "../../src/grpc/wire.ts";
import { type BackendParts, whereOf } from "./backend.ts";
import { exchange, remainingMs } from "./exchange.ts";
import { grpcFailure, tooLarge, unreachable } from "./failures.ts";
import { serverOf, traced } from "./span.ts";

/** One connection to one address, and what is done over it. */
export class GrpcChannel {
  readonly #parts: BackendParts;
  readonly #where: string;
  readonly #client: Client;
  readonly #metadata: Metadata;

  constructor(parts: BackendParts) {
    this.#parts = parts;
    this.#where = whereOf(parts);
    this.#client = openClient(parts);
    this.#metadata = new Metadata();
    for (const [name, value] of Object.entries(parts.options.headers)) {
      if (name.toLowerCase() !== "host") this.#metadata.set(name, value);
    }
  }

  get client(): Client {
    return this.#client;
  }

  /** The span of a call (OpenTelemetry, gRPC client spans); absent where nobody traces. */
  begin({ path }: { readonly path: string }, { trace }: Call): TraceSpan | undefined {
    const [, service, method] = path.split("/");
    return trace?.begin(path.slice(1), "client", {
      ...{ "rpc.system": "grpc", "rpc.service": service, "rpc.method": method },
      ...serverOf(this.#parts.address),
    });
  }

  /** What goes with every call. */
  metadata({ requestId }: Call, span: TraceSpan | undefined): Metadata {
    const metadata = this.#metadata.clone();
    for (const [name, value] of Object.entries(span?.headers ?? {})) metadata.set(name, value);
    metadata.set("x-request-id", requestId);
    return metadata;
  }

  /** One request and its answer. */
  async unary<QI, Q extends QI, AI, A extends AI>(
    method: Method<QI, Q, AI, A>,
    message: QI,
    call: Call,
  ): Promise<A> {
    await this.connect(call);
    const timeoutMs = remainingMs(call, this.#parts.options.timeout);
    const span = this.begin(method, call);
    return traced(
      span,
      exchange<A>(call, { where: this.#where, timeoutMs }, (resolve, reject) => {
        let answered = false;
        const sent = this.#client.makeUnaryRequest(
          method.path,
          method.requestSerialize,
          method.responseDeserialize,
          message,
          this.metadata(call, span),
          { deadline: Date.now() + timeoutMs },
          (error, answer) => (error === null ? resolve(answer!) : reject(this.failure(error, answered))),
        );
        sent.on("metadata", () => {
          answered = true;
        });
        return () => sent.cancel();
      }),
    );
  }

  /**
   * Waits until there is a connection: grpc-js by itself would queue a call for as long as it takes.
   * @throws NotExecuted when it cannot be made within `connect_timeout`.
   */
  async connect(call: Call): Promise<void> {
    const channel = this.#client.getChannel();
    const deadline = Date.now() + remainingMs(call, this.#parts.options.connect_timeout);
    let state = channel.getConnectivityState(true);
    // After a failure grpc-js waits before it tries again; the call itself then says why, having sent nothing.
    while (state !== connectivityState.READY && state !== connectivityState.TRANSIENT_FAILURE) {
      if (Date.now() >= deadline) throw unreachable(this.#where, "no connection in time");
      await this.#change(state, deadline, call);
      state = channel.getConnectivityState(true);
    }
  }

  #change(from: connectivityState, deadline: number, call: Call): Promise<void> {
    const limit = { where: this.#where, timeoutMs: this.#parts.options.timeout };
    return exchange<void>(call, limit, (resolve) => {
      this.#client.getChannel().watchConnectivityState(from, deadline, () => resolve());
      return () => {};
    });
  }

  /** What a status that is not OK means. `answered`: the other server had begun to answer. */
  failure(error: ServiceError, answered: boolean): Error {
    const { details, code, metadata } = error;
    if (details.startsWith(NOT_CONNECTED)) return unreachable(this.#where, lastError(details), error);
    const limit = this.#parts.options.max_message_bytes;
    if (details.includes(`larger than max (`) && details.includes(` vs ${limit})`)) {
      return tooLarge(this.#where, limit);
    }
    // A status that comes in the headers has their other fields beside it; grpc-js leaves them there.
    const refused = metadata.get("content-type").length > 0;
    const progress = refused ? "refused" : answered ? "begun" : "none";
    return grpcFailure(this.#where, { code, details, progress });
  }

  close(): void {
    this.#client.close();
  }
}

const NOT_CONNECTED = "No connection established";

/** grpc-js: `No connection established. Last error: Error: connect ... (time). Resolution note: ...`. */
function lastError(details: string): string {
  return /Last error: (?:Error: )?(.*?)(?: \(\d{4}-|\. Resolution note|$)/.exec(details)?.[1] ?? details;
}

function openClient({ address, options, tls }: BackendParts): Client {
  const authority = Object.entries(options.headers).find(([name]) => name.toLowerCase() === "host")?.[1];
  const secure = () => credentials.createSsl(tls.ca ?? null, tls.key ?? null, tls.cert ?? null);
  const name = options.tls?.server_name;
  return new Client(address.host, address.tls ? secure() : credentials.createInsecure(), {
    "grpc.max_receive_message_length": options.max_message_bytes,
    "grpc.max_send_message_length": -1,
    "grpc.keepalive_time_ms": options.keepalive,
    // Its own connection: it ends with this model, and not when another model happens to.
    "grpc.use_local_subchannel_pool": 1,
    "grpc.service_config_disable_resolution": 1,
    "grpc.enable_http_proxy": 0,
    // Nothing reads channelz here, and its counting costs on every message.
    "grpc.enable_channelz": 0,
    // A backend that came back is found by the next health check and not much later.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 5000,
    ...(name === undefined ? {} : { "grpc.ssl_target_name_override": name }),
    ...(authority === undefined ? {} : { "grpc.default_authority": authority }),
  });
}
