import { readFile } from "node:fs/promises";
import path from "node:path";
import {
  type Call,
  CapstanError,
  defineRuntime,
  type ModelSpec,
  type Runtime,
} from "../../src/contracts/index.ts";
import { type Address, failed, parseAddresses } from "./address.ts";
import type { Backend, BackendParts, RemoteMetadata, TlsFiles } from "./backend.ts";
import { Backends } from "./backends.ts";
import { type RemoteOptions, remoteOptions } from "./options.ts";
import { RemoteRuntime } from "./runtime.ts";

/** Serves a model of another V2 server (MLServer, Triton, KServe, Capstan), over HTTP or gRPC. */
export default defineRuntime<RemoteOptions>({
  name: "remote",
  options: remoteOptions,
  overridable: ["timeout", "retries"],
  uri: "address",
  load,
});

async function load(model: ModelSpec, options: RemoteOptions, _host: unknown, call: Call): Promise<Runtime> {
  call.signal.throwIfAborted();
  const addresses = parseAddresses(model, options.backends);
  const tls = await readTls(model, options.tls);
  const all = await openAll(addresses, { model, options, tls });
  const backends = new Backends(all, options.retries, options.health_interval);
  try {
    const metadata = await describe(model, all, call);
    await backends.watch(call);
    call.signal.throwIfAborted();
    return new RemoteRuntime(model, metadata, backends, options.connect_timeout + options.timeout);
  } catch (reason) {
    await backends[Symbol.asyncDispose]();
    throw reason;
  }
}

/** grpc-js and undici are imported when the first model needs them. */
async function openAll(
  addresses: readonly Address[],
  { model, ...rest }: Pick<BackendParts, "options" | "tls"> & { model: ModelSpec },
): Promise<Backend[]> {
  const { remote_model = model.name, remote_version = "" } = rest.options;
  const parts = { ...rest, model: remote_model, version: remote_version };
  if (addresses[0]?.protocol === "grpc") {
    const { GrpcBackend } = await import("./grpc.ts");
    return addresses.map((address) => new GrpcBackend({ ...parts, address }));
  }
  const { HttpBackend } = await import("./http.ts");
  return addresses.map((address) => new HttpBackend({ ...parts, address }));
}

/**
 * The first answer among the backends.
 * @throws CapstanError UPSTREAM, so that loading is tried again: the other server may only be late.
 */
async function describe(model: ModelSpec, backends: readonly Backend[], call: Call): Promise<RemoteMetadata> {
  const failures: string[] = [];
  for (const backend of backends) {
    try {
      return await backend.metadata(call);
    } catch (error) {
      call.signal.throwIfAborted();
      failures.push((error as Error).message);
    }
  }
  const why = `Remote model '${model.name}' cannot load: no backend describes it; ${failures.join("; ")}`;
  throw new CapstanError("UPSTREAM", why);
}

async function readTls(model: ModelSpec, files: RemoteOptions["tls"] = {}): Promise<TlsFiles> {
  const read = async (file: string | undefined): Promise<Buffer | undefined> => {
    if (file === undefined) return undefined;
    try {
      return await readFile(path.resolve(model.folder, file));
    } catch (cause) {
      throw failed(model, `TLS file '${file}' cannot be read: ${(cause as Error).message}`, cause);
    }
  };
  return { ca: await read(files.ca), cert: await read(files.cert), key: await read(files.key) };
}
