import { Metadata } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import remote from "../../runtimes/remote/index.ts";
import type { Tensor } from "../../src/contracts/index.ts";
import { collect, runtimeContract, testCall } from "../../src/testing/index.ts";
import { failure, open, request, until, x } from "./remote-open.ts";
import { echoed, type GrpcServer, grpcServer } from "./remote-servers.ts";

describe("over gRPC", () => {
  let server: GrpcServer;
  beforeEach(async () => {
    server = await grpcServer();
  });
  afterEach(() => server[Symbol.asyncDispose]());

  const word = (text: string) => ({
    inferResponse: echoed({
      modelName: "m",
      modelVersion: "1",
      id: "",
      parameters: {},
      outputs: [],
      inputs: [{ name: "t", datatype: "BYTES", shape: [1n], parameters: {}, contents: null }],
      rawInputContents: [Buffer.concat([Buffer.from([text.length, 0, 0, 0]), Buffer.from(text)])],
    }),
  });
  const texts = (answers: readonly { outputs: readonly Tensor[] }[]): string[] =>
    answers.map(({ outputs }) => Buffer.from((outputs[0]!.data as Uint8Array[])[0]!).toString());

  describe("keeps the contract", () => {
    const model = () => ({ name: "m", version: "1", folder: import.meta.dirname, uri: server.url });
    beforeEach(() => {
      const { infer } = server;
      server.infer = (call, done) =>
        call.request.inputs.length === 0 ? done({ code: 3, details: "no inputs" }) : infer(call, done);
      server.stream = (call) => {
        for (const text of ["one", "two", "three"]) call.write(word(text));
        call.end();
      };
    });
    const fixture = {
      model,
      request: () => request(x(1, 2)),
      streamRequest: () => request(x(1)),
      badRequest: () => request(),
      options: { health_interval: "1h" },
    };
    for (const { name, run } of runtimeContract(remote, fixture)) it(name, run);
  });

  it.each([
    [1, "UPSTREAM"],
    [2, "UPSTREAM"],
    [3, "INVALID_ARGUMENT"],
    [4, "DEADLINE_EXCEEDED"],
    [5, "NOT_FOUND"],
    [7, "UPSTREAM"],
    [8, "RATE_LIMITED"],
    [12, "UNSUPPORTED"],
    [13, "UPSTREAM"],
    [14, "UPSTREAM"],
    [16, "UPSTREAM"],
  ])("answers an upstream's status %i with %s, its words and its address", async (code, ours) => {
    server.infer = (_, done) => done({ code, details: "because of this" });
    await using runtime = await open(server.url, { retries: 0 });
    const error = await failure(runtime.infer(request(x(1)), testCall()));
    expect(error.code).toBe(ours);
    expect(error.message).toMatch(new RegExp(`${server.url} answered .*: because of this`));
  });

  it("answers a message that is not V2 with UPSTREAM", async () => {
    const tensor = { name: "x", datatype: "FP32", shape: [2] };
    const bad = [
      { outputs: [tensor], rawOutputContents: [Buffer.alloc(4)] },
      { outputs: [tensor], rawOutputContents: [Buffer.alloc(8), Buffer.alloc(8)] },
      { outputs: [{ ...tensor, datatype: "FP3" }], rawOutputContents: [Buffer.alloc(8)] },
      { outputs: [{ ...tensor, shape: [-2] }], rawOutputContents: [Buffer.alloc(8)] },
      { outputs: [{ ...tensor, contents: { fp32Contents: [1] } }] },
      { outputs: [tensor] },
    ];
    await using runtime = await open(server.url);
    for (const answer of bad) {
      server.infer = (_, done) => done(null, answer);
      const error = await failure(runtime.infer(request(x(1)), testCall()));
      expect([error.code, error.message]).toEqual(["UPSTREAM", expect.stringContaining("not V2")]);
    }
  });

  it("does not send again what may have been executed", async () => {
    await using other = await grpcServer();
    let sent = 0;
    const drop = async (): Promise<void> => {
      sent += 1;
      await Promise.all([server[Symbol.asyncDispose](), other[Symbol.asyncDispose]()]);
    };
    server.infer = other.infer = drop;
    await using runtime = await open(server.url, { backends: [other.url], retries: 5 });
    const error = await failure(runtime.infer(request(x(1)), testCall()));
    expect([error.code, sent]).toEqual(["UPSTREAM", 1]);
    expect(error.message).toContain("broke the connection");
  });

  it("does not send again when the connection breaks after the answer began", async () => {
    let sent = 0;
    server.infer = async (call) => {
      sent += 1;
      call.sendMetadata(new Metadata());
      await new Promise((resolve) => setTimeout(resolve, 20));
      await server[Symbol.asyncDispose]();
    };
    await using other = await grpcServer();
    other.ready = false;
    await using runtime = await open(server.url, { backends: [other.url], retries: 5 });
    expect((await failure(runtime.infer(request(x(1)), testCall()))).code).toBe("UPSTREAM");
    expect([sent, other.seen.length]).toEqual([1, 0]);
  });

  it("says which side's limit a message is over", async () => {
    await using small = await grpcServer({ maxReceive: 1024 });
    const large = request(x(...Array<number>(2000).fill(1)));
    await using sender = await open(small.url);
    expect((await failure(sender.infer(large, testCall()))).code).toBe("TOO_LARGE");
    await using reader = await open(server.url, { max_message_bytes: 2048 });
    const error = await failure(reader.infer(large, testCall()));
    expect([error.code, error.message]).toEqual(["UPSTREAM", expect.stringContaining("max_message_bytes")]);
  });

  it("passes on the deadline, the request's id and the configured headers", async () => {
    await using runtime = await open(server.url, { headers: { authorization: "Bearer s", Host: "other" } });
    const deadline = Date.now() + 5000;
    await runtime.infer(request(x(1)), testCall({ deadline, requestId: "r1" }));
    const metadata = server.metadata.at(-1)!;
    expect(metadata.get("authorization")).toEqual(["Bearer s"]);
    expect(metadata.get("x-request-id")).toEqual(["r1"]);
    expect(Math.abs(Number(server.deadline) - deadline)).toBeLessThan(2000);
  });

  it("gives up at the timeout, and the upstream notices", async () => {
    server.infer = () => {};
    await using runtime = await open(server.url, { timeout: "50ms" });
    expect((await failure(runtime.infer(request(x(1)), testCall()))).code).toBe("DEADLINE_EXCEEDED");
    await until(() => server.cancelled === 1);
  });

  it("cancels upstream when the caller leaves", async () => {
    server.infer = () => {};
    await using runtime = await open(server.url);
    const caller = new AbortController();
    const work = runtime.infer(request(x(1)), testCall({ signal: caller.signal }));
    await until(() => server.seen.length === 1);
    const reason = new Error("left");
    caller.abort(reason);
    await expect(work).rejects.toBe(reason);
    await until(() => server.cancelled === 1);
  });

  describe("a stream", () => {
    it("gives each answer, and drops the empty one that only says it is the last", async () => {
      const final = { triton_final_response: { boolParam: true } };
      server.stream = (call) => {
        for (const text of ["a", "b"]) call.write(word(text));
        call.write({ inferResponse: { modelName: "m", parameters: final } });
        call.end();
      };
      await using runtime = await open(server.url);
      expect(texts(await collect(runtime.inferStream!(request(x(1)), testCall())))).toEqual(["a", "b"]);
    });

    it.each([
      ["INVALID_ARGUMENT: bad word", "INVALID_ARGUMENT"],
      ["UNAUTHENTICATED: no key", "UPSTREAM"],
      ["something else", "UPSTREAM"],
    ])("ends with the upstream's error %j", async (errorMessage, code) => {
      server.stream = (call) => {
        call.write(word("a"));
        call.write({ errorMessage });
        call.end();
      };
      await using runtime = await open(server.url);
      const seen: string[] = [];
      const read = async () => {
        for await (const answer of runtime.inferStream!(request(x(1)), testCall()))
          seen.push(...texts([answer]));
      };
      const error = await failure(read());
      expect([error.code, seen]).toEqual([code, ["a"]]);
      expect(error.message).toContain(errorMessage);
    });

    it("ends with a typed error when the connection breaks within it, and does not begin again", async () => {
      let streams = 0;
      server.stream = async (call) => {
        streams += 1;
        call.write(word("a"));
      };
      await using runtime = await open(server.url, { retries: 5 });
      const answers = runtime.inferStream!(request(x(1)), testCall())[Symbol.asyncIterator]();
      await answers.next();
      await server[Symbol.asyncDispose]();
      const error = await failure(answers.next() as Promise<unknown>);
      expect([error.code, streams]).toEqual(["UPSTREAM", 1]);
    });

    it("does not begin again when the server becomes unavailable within it", async () => {
      let streams = 0;
      server.stream = (call) => {
        streams += 1;
        call.write(word("a"));
        call.emit("error", Object.assign(new Error(), { code: 14, details: "shutting down" }));
      };
      await using runtime = await open(server.url, { retries: 5 });
      const error = await failure(collect(runtime.inferStream!(request(x(1)), testCall())));
      expect([error.code, streams]).toEqual(["UPSTREAM", 1]);
      expect(error.message).toContain("shutting down");
    });

    it("begins on another backend when one is not ready", async () => {
      server.stream = (call) =>
        call.emit("error", Object.assign(new Error(), { code: 14, details: "not yet" }));
      await using other = await grpcServer();
      other.stream = (call) => {
        call.write(word("b"));
        call.end();
      };
      await using runtime = await open(server.url, { backends: [other.url] });
      for (let i = 0; i < 2; i += 1) {
        expect(texts(await collect(runtime.inferStream!(request(x(1)), testCall())))).toEqual(["b"]);
      }
    });

    it("waits for each answer as long as the timeout allows, not longer", async () => {
      server.stream = (call) => call.write(word("a"));
      await using runtime = await open(server.url, { timeout: "60ms" });
      const error = await failure(collect(runtime.inferStream!(request(x(1)), testCall())));
      expect(error.code).toBe("DEADLINE_EXCEEDED");
      await until(() => server.cancelled === 1);
    });

    it("cancels upstream when it is left early", async () => {
      server.stream = (call) => call.write(word("a"));
      await using runtime = await open(server.url);
      for await (const _ of runtime.inferStream!(request(x(1)), testCall())) break;
      await until(() => server.cancelled === 1);
    });

    it("holds a fast upstream back while its consumer is slow", async () => {
      const big = word("x".repeat(200));
      const total = 5000;
      let written = 0;
      server.stream = async (call) => {
        const payload = Buffer.alloc(64 * 1024);
        big.inferResponse.rawOutputContents = [Buffer.concat([sizeOf(payload), payload])];
        for (; written < total && !call.cancelled; written += 1) {
          if (!call.write(big)) await new Promise((resolve) => call.once("drain", resolve));
        }
      };
      await using runtime = await open(server.url);
      const answers = runtime.inferStream!(request(x(1)), testCall())[Symbol.asyncIterator]();
      await answers.next();
      let before = -1;
      while (before !== written) {
        before = written;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      expect(written).toBeLessThan(total / 2);
      await answers.return?.();
    });
  });
});

const sizeOf = (payload: Buffer): Buffer => {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(payload.length);
  return size;
};
