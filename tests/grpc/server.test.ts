import { readFileSync } from "node:fs";
import http2 from "node:http2";
import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import zlib from "node:zlib";
import { credentials } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import type { Call, CapstanError, InferResponse } from "../../src/contracts/index.ts";
import { grpc } from "../../src/grpc/generated/health.js";
import { Health, GRPCInferenceService as service } from "../../src/grpc/generated/services.ts";
import { listenGrpc } from "../../src/grpc/server.ts";
import { Metrics } from "../../src/telemetry/metrics.ts";
import { eventually } from "../support/eventually.ts";
import {
  codeName,
  ended,
  type FakeModel,
  fp32,
  framed,
  IDENTITY,
  output,
  serveGrpc,
} from "../support/grpc.ts";

const request = { modelName: "identity", inputs: [fp32([1, 2])] };

/** A model that waits until it is let go or its call is aborted. */
class Waiting implements FakeModel {
  readonly calls: Call[] = [];
  readonly #gate = Promise.withResolvers<void>();

  async infer(_: unknown, call: Call): Promise<InferResponse> {
    this.calls.push(call);
    const aborted = new Promise<never>((_, reject) => {
      call.signal.addEventListener("abort", () => reject(call.signal.reason), { once: true });
    });
    await Promise.race([this.#gate.promise, aborted]);
    return { outputs: [] };
  }

  open(): void {
    this.#gate.resolve();
  }

  async [Symbol.asyncDispose]() {}
}

describe("faults of the caller are never INTERNAL", () => {
  test("bytes that are not a message", async () => {
    await using server = await serveGrpc();
    for (const bytes of [Buffer.of(0x0a, 0xff), Buffer.from("hello"), Buffer.of(0x28)]) {
      const { code, details } = await server.client.unaryBytes(service.ModelInfer, bytes);
      expect([codeName(code), details]).toEqual([
        "INVALID_ARGUMENT",
        expect.stringMatching(/^The request of ModelInfer is not valid protobuf: [^\n]+$/),
      ]);
    }
  });

  test("random bytes, for every unary method", async () => {
    await using server = await serveGrpc();
    const methods = Object.values(service).filter(({ requestStream }) => !requestStream);
    let seed = 7;
    for (const method of methods) {
      for (let round = 0; round < 8; round += 1) {
        seed = (seed * 48_271) % 2_147_483_647;
        const bytes = Buffer.from(Array.from({ length: 12 }, (_, index) => (seed >> (index % 24)) & 0xff));
        const { code } = await server.client.unaryBytes(method as typeof service.ModelInfer, bytes);
        expect(["OK", "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED"]).toContain(codeName(code));
      }
    }
    expect(server.logged.filter(({ level }) => level === "error")).toEqual([]);
  });

  test("a message that is too large, received or sent", async () => {
    const big: FakeModel = {
      ...IDENTITY,
      infer: async () => ({ outputs: [output("y", new Float32Array(1000))] }),
    };
    await using server = await serveGrpc({ identity: IDENTITY, big }, { grpc_max_message_length: 2000 });
    const sent = await server.client.unary(service.ModelInfer, {
      ...request,
      inputs: [fp32(Array(1000).fill(0))],
    });
    expect([codeName(sent.code), sent.details]).toEqual([
      "RESOURCE_EXHAUSTED",
      expect.stringContaining("2000"),
    ]);
    const got = await server.client.unary(service.ModelInfer, { modelName: "big" });
    expect([codeName(got.code), got.details]).toEqual([
      "RESOURCE_EXHAUSTED",
      expect.stringContaining("grpc_max_message_length"),
    ]);
  });

  test("5 MB pass by default", async () => {
    await using server = await serveGrpc();
    const raw = Buffer.alloc(5_000_000, 1);
    const inputs = [{ name: "x", datatype: "UINT8", shape: [raw.length] }];
    const { response } = await server.client.unary(service.ModelInfer, {
      ...request,
      inputs,
      rawInputContents: [raw],
    });
    expect(raw.equals(response.rawOutputContents[0]!)).toBe(true);
  });

  test("compressed requests: good ones are read, broken and exploding ones refused", async () => {
    await using server = await serveGrpc(undefined, { grpc_max_message_length: 10_000 });
    const post = (body: Buffer, headers = {}) =>
      rawCall(server.listening.port, service.ServerLive.path, body, headers);
    const gzip = { "grpc-encoding": "gzip" };
    const compressed = (bytes: Buffer) => framed(bytes, 1);
    const packed = zlib.gzipSync(service.ModelReady.requestSerialize({ name: "x" }));
    expect(await post(compressed(packed), gzip)).toBe("OK");
    expect(await post(compressed(Buffer.from("no gzip")), gzip)).toBe("INVALID_ARGUMENT");
    expect(await post(compressed(zlib.gzipSync(Buffer.alloc(1_000_000))), gzip)).toBe("RESOURCE_EXHAUSTED");
    expect(await post(compressed(packed), { "grpc-encoding": "zstd" })).toBe("UNIMPLEMENTED");
    expect(await post(framed(Buffer.alloc(0)), { "grpc-timeout": "soon" })).toBe("INVALID_ARGUMENT");
  });

  test("a unary call without a message, or for a method that is not there", async () => {
    await using server = await serveGrpc();
    expect(await rawCall(server.listening.port, service.ModelInfer.path, Buffer.alloc(0))).toBe(
      "UNIMPLEMENTED",
    );
    expect(
      await rawCall(
        server.listening.port,
        "/inference.GRPCInferenceService/Nothing",
        framed(Buffer.alloc(0)),
      ),
    ).toBe("UNIMPLEMENTED");
  });

  test("connections that are dropped or speak something else leave the server standing", async () => {
    await using server = await serveGrpc();
    for (const text of ["", "GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\0\0\0\0"]) {
      const socket = connect(server.listening.port, "127.0.0.1").on("error", () => undefined);
      await new Promise<void>((resolve) => void socket.write(text, () => resolve()));
      socket.destroy();
    }
    expect((await server.client.unary(service.ServerLive, {})).response.live).toBe(true);
  });
});

/** One call with a body of our own; gives the name of its status. */
async function rawCall(port: number, path: string, body: Buffer, headers = {}): Promise<string> {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    ...headers,
  });
  const { promise, resolve } = Promise.withResolvers<number>();
  const read = (given: http2.IncomingHttpHeaders) => {
    if (given["grpc-status"] !== undefined) resolve(Number(given["grpc-status"]));
  };
  stream.on("response", read).on("trailers", read).resume().end(body);
  const code = await promise;
  session.close();
  return codeName(code);
}

describe("deadlines, cancelling, priority", () => {
  test("reach the model", async () => {
    const waiting = new Waiting();
    await using server = await serveGrpc({ waiting });
    const message = { modelName: "waiting", parameters: { priority: { uint64Param: 1 } } };
    const { code } = await server.client.unary(service.ModelInfer, message, { deadlineMs: 100 });
    expect(codeName(code)).toBe("DEADLINE_EXCEEDED");
    await eventually(() => waiting.calls[0]?.signal.aborted);
    expect(waiting.calls[0]).toMatchObject({ priority: 1, deadline: expect.any(Number) });
  });

  test("a request's own timeout ends it first", async () => {
    await using server = await serveGrpc({ waiting: new Waiting() });
    const message = { modelName: "waiting", parameters: { timeout: { int64Param: 30_000 } } };
    const { code, details } = await server.client.unary(service.ModelInfer, message);
    expect([codeName(code), details]).toEqual([
      "DEADLINE_EXCEEDED",
      "The request's deadline of 30 ms passed",
    ]);
  });

  test("a client that leaves cancels its call", async () => {
    const waiting = new Waiting();
    await using server = await serveGrpc({ waiting });
    const impatient = server.connect();
    const metadata = { headers: { "x-priority": "3", "x-request-id": "left" } };
    void impatient.unary(service.ModelInfer, { modelName: "waiting" }, metadata);
    await eventually(() => waiting.calls.length === 1);
    expect(waiting.calls[0]).toMatchObject({ priority: 3, requestId: "left" });
    impatient.close();
    const gone = server.connect();
    const call = gone.raw.makeUnaryRequest(
      service.ModelInfer.path,
      service.ModelInfer.requestSerialize,
      service.ModelInfer.responseDeserialize,
      { modelName: "waiting" },
      () => undefined,
    );
    await eventually(() => waiting.calls.length === 2);
    call.cancel();
    await eventually(() => waiting.calls[1]?.signal.aborted);
    expect((waiting.calls[1]!.signal.reason as CapstanError).code).toBe("CANCELLED");
    waiting.open();
  });
});

describe("stopping", () => {
  test("answers what was accepted, and takes nothing more", async () => {
    const waiting = new Waiting();
    await using server = await serveGrpc({ waiting });
    const accepted = server.client.unary(service.ModelInfer, { modelName: "waiting" });
    await eventually(() => waiting.calls.length === 1);
    const closed = server.listening.close();
    const late = await server.connect().unary(service.ServerLive, {}, { deadlineMs: 2000 });
    expect(codeName(late.code)).toBe("UNAVAILABLE");
    waiting.open();
    expect(codeName((await accepted).code)).toBe("OK");
    await closed;
    await server.listening.close();
  });

  test("after drain_timeout the rest is cut off", async () => {
    const waiting = new Waiting();
    await using server = await serveGrpc({ waiting }, { drain_timeout: "100ms" });
    const hanging = server.client.unary(service.ModelInfer, { modelName: "waiting" });
    await eventually(() => waiting.calls.length === 1);
    await server.listening.close();
    expect(["CANCELLED", "UNAVAILABLE"]).toContain(codeName((await hanging).code));
    await eventually(() => waiting.calls[0]?.signal.aborted);
  });

  test("a watcher of health is told", async () => {
    await using server = await serveGrpc();
    const { NOT_SERVING, SERVING } = grpc.health.v1.HealthCheckResponse.ServingStatus;
    const call = server.client.raw.makeServerStreamRequest(
      Health.Watch.path,
      Health.Watch.requestSerialize,
      Health.Watch.responseDeserialize,
      {},
    );
    const statuses: number[] = [];
    const end = ended(call);
    call.on("data", ({ status }: grpc.health.v1.HealthCheckResponse) => statuses.push(status));
    await eventually(() => statuses.length === 1);
    await server.listening.close();
    expect(codeName((await end).code)).toBe("UNAVAILABLE");
    expect(statuses).toEqual([SERVING, NOT_SERVING]);
  });
});

describe("listening", () => {
  test("a port that is taken is named", async () => {
    await using server = await serveGrpc();
    const parts = { ...server.parts, metrics: new Metrics() };
    const again = listenGrpc(parts, { host: "127.0.0.1", port: server.listening.port });
    await expect(again).rejects.toThrow(`gRPC cannot listen on 127.0.0.1:${server.listening.port}`);
  });

  const file = (name: string) => fileURLToPath(new URL(`../support/certificates/${name}`, import.meta.url));
  const [ca, key, chain] = ["ca.pem", "client-key.pem", "client.pem"].map((name) => readFileSync(file(name)));
  const tls = { cert: file("server.pem"), key: file("server-key.pem") };

  test("TLS, and mutual TLS", async () => {
    await using plain = await serveGrpc(undefined, { tls });
    const trusting = plain.connect({}, credentials.createSsl(ca));
    expect((await trusting.unary(service.ServerLive, {})).response.live).toBe(true);
    expect(codeName((await plain.client.unary(service.ServerLive, {}, { deadlineMs: 2000 })).code)).toBe(
      "UNAVAILABLE",
    );

    await using mutual = await serveGrpc(undefined, { tls: { ...tls, client_ca: file("ca.pem") } });
    const known = mutual.connect({}, credentials.createSsl(ca, key, chain));
    expect((await known.unary(service.ServerLive, {})).response.live).toBe(true);
    const unknown = mutual.connect({}, credentials.createSsl(ca));
    expect(codeName((await unknown.unary(service.ServerLive, {}, { deadlineMs: 2000 })).code)).toBe(
      "UNAVAILABLE",
    );
  });

  test("a certificate that is not there, or is none", async () => {
    await expect(serveGrpc(undefined, { tls: { ...tls, cert: "/nowhere.pem" } })).rejects.toThrow(
      "/nowhere.pem",
    );
    await expect(serveGrpc(undefined, { tls: { ...tls, cert: tls.key } })).rejects.toThrow(/gRPC cannot use/);
  });
});
