import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { Server, ServerCredentials, type ServerOptions } from "@grpc/grpc-js";
import type { ServerSettings } from "../settings/server.ts";
import { addHealth } from "./health.ts";
import { addLanguageModelMethods } from "./llm.ts";
import { addSettingsMethods } from "./log-settings.ts";
import { addModelMethods } from "./models.ts";
import { observe } from "./observe.ts";
import type { GrpcParts } from "./parts.ts";
import { addReflection } from "./reflection.ts";
import { addRefusals } from "./refusals.ts";
import { addRepositoryMethods } from "./repository.ts";
import { addStreamInfer } from "./stream-infer.ts";
import { traceCalls } from "./trace.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface GrpcListening extends Address {
  /**
   * Takes no new connections and calls (GOAWAY), answers what was accepted, and resolves when all is closed.
   * What is still open after `drain_timeout` is cut off.
   */
  close(): Promise<void>;
}

/**
 * Puts the gRPC services on a port; port 0 takes a free one. TLS, message size, keepalive and the drain time
 * come from the settings in `parts`.
 * @throws Error naming the address when it cannot be had, or the file when a certificate cannot be read.
 */
export async function listenGrpc(parts: GrpcParts, address: Address): Promise<GrpcListening> {
  const { settings } = parts;
  const stopping = new AbortController();
  const server = new Server(serverOptions(parts));
  addModelMethods(server, parts);
  addStreamInfer(server, parts, stopping.signal);
  addLanguageModelMethods(server, parts);
  addRepositoryMethods(server, parts);
  addSettingsMethods(server, parts);
  addRefusals(server, parts);
  addHealth(server, parts, stopping.signal);
  addReflection(server, parts, stopping.signal);
  const port = await bind(server, targetOf(address), credentials(settings.tls));
  const bound = { host: address.host, port };
  let closing: Promise<void> | undefined;
  const close = () => {
    stopping.abort();
    closing ??= shutDown(server, targetOf(bound), settings.drain_timeout);
    return closing;
  };
  return { ...bound, close };
}

function serverOptions({ settings, metrics, tracing }: GrpcParts): ServerOptions {
  return {
    "grpc.max_receive_message_length": settings.grpc_max_message_length,
    "grpc.max_send_message_length": settings.grpc_max_message_length,
    "grpc.keepalive_time_ms": settings.grpc_keepalive_time,
    "grpc.keepalive_timeout_ms": settings.grpc_keepalive_timeout,
    // Nothing reads channelz here, and its counting costs on every message.
    "grpc.enable_channelz": 0,
    // The first is the innermost: it sees the status that goes out.
    interceptors: [...(tracing ? [traceCalls(tracing)] : []), observe(metrics.grpc)],
  };
}

function credentials(tls: ServerSettings["tls"]): ServerCredentials {
  if (!tls) return ServerCredentials.createInsecure();
  const clientCa = tls.client_ca ? readFileSync(tls.client_ca) : null;
  const pair = { cert_chain: readFileSync(tls.cert), private_key: readFileSync(tls.key) };
  try {
    createSecureContext({ cert: pair.cert_chain, key: pair.private_key, ca: clientCa ?? undefined });
  } catch (cause) {
    throw new Error(`gRPC cannot use ${Object.values(tls).join(", ")}: ${(cause as Error).message}`, {
      cause,
    });
  }
  return ServerCredentials.createSsl(clientCa, [pair], clientCa !== null);
}

const targetOf = ({ host, port }: Address) => `${host.includes(":") ? `[${host}]` : host}:${port}`;

function bind(server: Server, target: string, secured: ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(target, secured, (cause, bound) => {
      if (cause) reject(new Error(`gRPC cannot listen on ${target}: ${cause.message}`, { cause }));
      else resolve(bound);
    });
  });
}

/**
 * Waits for what is open, and cuts it off after `drainMs` (0: never). `forceShutdown` would not do: it knows
 * the connections only while channelz counts them.
 */
function shutDown(server: Server, target: string, drainMs: number): Promise<void> {
  if (drainMs > 0) server.drain(target, drainMs);
  return new Promise((resolve, reject) => server.tryShutdown((error) => (error ? reject(error) : resolve())));
}
