import { setImmediate as turn } from "node:timers/promises";
import { MessageChannel } from "node:worker_threads";
import { afterEach, describe, expect, it } from "vitest";
import {
  type Call,
  CapstanError,
  DATATYPE_BYTES,
  type Datatype,
  type InferRequest,
  type Log,
  type Tensor,
  type TensorData,
} from "../../src/contracts/index.ts";
import { Handed, type Service } from "../../src/host/isolation/answers.ts";
import { portLink } from "../../src/host/isolation/link.ts";
import { CREDIT, Peer } from "../../src/host/isolation/peer.ts";
import {
  packRequest,
  packResponse,
  unpackRequest,
  unpackResponse,
} from "../../src/host/isolation/tensors.ts";
import { testCall } from "../../src/testing/index.ts";
import { keptLog } from "../support/isolation.ts";

const nothing: Service = { methods: {}, streams: {} };
const open: MessageChannel[] = [];
afterEach(() => {
  for (const { port1 } of open.splice(0)) port1.close();
});

/** A side that asks, and the one that answers it with `service`. */
function line(service: Partial<Service>, log: Log = testCall().log): { asking: Peer; answering: Peer } {
  const channel = new MessageChannel();
  open.push(channel);
  const answering = new Peer(portLink(channel.port2), { ...nothing, ...service }, log);
  return { asking: new Peer(portLink(channel.port1), nothing, log), answering };
}

describe("a question", () => {
  it("brings its circumstances, and its answer back", async () => {
    const methods = {
      twice: (n: number, { requestId, deadline, priority, principal }: Call) => {
        return [2 * n, requestId, deadline, priority, principal];
      },
    };
    const { asking } = line({ methods });
    const principal = { id: "ada", role: "admin", admin: true };
    const call = testCall({ requestId: "r", deadline: 5, priority: 1, principal });
    expect(await asking.ask("twice", 4, call)).toEqual([8, "r", 5, 1, principal]);
    expect(await asking.ask("twice", 1, testCall())).toEqual([2, "test", undefined, undefined, undefined]);
    expect(asking.waiting).toBe(0);
  });

  it("brings errors back with their code and details", async () => {
    const cause = new RangeError("deep");
    const thrown = [
      new CapstanError("RATE_LIMITED", "later", { retryAfterMs: 7, param: "n", cause }),
      new TypeError("odd", { cause }),
      "text",
    ];
    const { asking } = line({
      methods: {
        fail: (index: number) => {
          throw thrown[index];
        },
      },
    });
    const limited = expect.objectContaining({
      code: "RATE_LIMITED",
      retryAfterMs: 7,
      param: "n",
      cause: expect.objectContaining({ name: "RangeError", message: "deep" }),
    });
    await expect(asking.ask("fail", 0, testCall())).rejects.toEqual(limited);
    await expect(asking.ask("fail", 1, testCall())).rejects.toMatchObject({
      name: "TypeError",
      message: "odd",
      stack: expect.stringContaining("isolation-peer.test"),
    });
    await expect(asking.ask("fail", 2, testCall())).rejects.toThrow("text");
  });

  it("that is aborted rejects at once, and the other side hears of it", async () => {
    const heard = Promise.withResolvers<unknown>();
    const methods = {
      wait: (_: unknown, { signal }: Call) => {
        signal.addEventListener("abort", () => heard.resolve(signal.reason));
        return new Promise(() => {});
      },
    };
    const { asking } = line({ methods });
    const controller = new AbortController();
    const reason = new CapstanError("DEADLINE_EXCEEDED", "too late");
    const asked = asking.ask("wait", undefined, testCall({ signal: controller.signal }));
    await turn();
    controller.abort(reason);
    await expect(asked).rejects.toBe(reason);
    expect(await heard.promise).toMatchObject({ code: "DEADLINE_EXCEEDED", message: "too late" });
    expect(asking.waiting).toBe(1);
    await expect(asking.ask("wait", 0, testCall({ signal: controller.signal }))).rejects.toBe(reason);
  });

  it("that cannot be copied, or answered, says so", async () => {
    const { asking } = line({ methods: { code: () => () => {} } });
    await expect(asking.ask("code", () => {}, testCall())).rejects.toMatchObject({ code: "INTERNAL" });
    await expect(asking.ask("code", 0, testCall())).rejects.toThrow("could not be cloned");
    await expect(asking.ask("nothing", 0, testCall())).rejects.toThrow("'nothing', which there is not");
    await expect(asking.stream("nothing", 0, testCall()).next()).rejects.toThrow("'nothing'");
    expect(asking.waiting).toBe(0);
  });

  it("fails when the other side is gone, and so do later ones", async () => {
    const { asking } = line({ methods: { wait: () => new Promise(() => {}) } });
    const asked = expect(asking.ask("wait", 0, testCall())).rejects.toThrow("gone");
    asking.close(new CapstanError("INTERNAL", "gone"));
    asking.close(new CapstanError("INTERNAL", "again"));
    await asked;
    await expect(asking.ask("wait", 0, testCall())).rejects.toThrow("gone");
  });

  it("writes to the log of its caller; what belongs to none goes to the other", async () => {
    const { log, lines } = keptLog();
    const methods = {
      talk: (_: unknown, call: Call) => {
        call.log.info({ a: 1 }, "said");
        call.log.warn({ f: () => {} }, "shown");
      },
    };
    const { asking } = line({ methods });
    await asking.ask("talk", 0, testCall({ log }));
    expect(lines).toEqual([
      { level: "info", fields: { a: 1 }, text: "said" },
      { level: "warn", fields: { f: "() => {}" }, text: "shown" },
    ]);
  });

  it("may be a ping, or a note", async () => {
    const { asking, answering } = line({});
    const noted = Promise.withResolvers<unknown>();
    answering.onNote = (name, value) => noted.resolve([name, value]);
    asking.note("ready", false);
    expect(await noted.promise).toEqual(["ready", false]);
    await asking.ping();
  });
});

describe("a stream", () => {
  /** Counts how far it got. */
  function counting(length: number) {
    const state = { sent: 0, left: false };
    const streams = {
      async *count() {
        try {
          for (; state.sent < length; ) yield state.sent++;
        } finally {
          state.left = true;
        }
      },
    };
    return { state, streams };
  }

  it("comes in order, to its end", async () => {
    const { streams, state } = counting(100);
    const { asking } = line({ streams });
    const items = await Array.fromAsync(asking.stream("count", undefined, testCall()));
    expect(items).toEqual(Array.from({ length: 100 }, (_, index) => index));
    expect(state.left).toBe(true);
  });

  it("is not sent faster than it is read", async () => {
    const { streams, state } = counting(10_000);
    const { asking } = line({ streams });
    const items = asking.stream("count", undefined, testCall());
    for (let read = 1; read <= 3 * CREDIT; read++) {
      await items.next();
      for (let turns = 0; turns < 5; turns++) await turn();
      expect(state.sent - read).toBeLessThanOrEqual(CREDIT);
    }
    await items.return(undefined);
    await expect.poll(() => state.left).toBe(true);
    expect(state.sent).toBeLessThan(5 * CREDIT);
    await expect.poll(() => asking.waiting).toBe(0);
  });

  it("that is aborted ends on both sides, also while it waits for its reader", async () => {
    const { streams, state } = counting(10_000);
    const { asking } = line({ streams });
    const controller = new AbortController();
    const items = asking.stream("count", undefined, testCall({ signal: controller.signal }));
    await items.next();
    await expect.poll(() => state.sent).toBe(CREDIT);
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(items.next()).rejects.toBe(reason);
    await expect.poll(() => state.left).toBe(true);
  });

  it("stops where the other side waits for its next item", async () => {
    const left = Promise.withResolvers<unknown>();
    const streams = {
      async *slow(_: unknown, { signal }: Call) {
        yield 1;
        await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      },
      async *watched(args: unknown, call: Call) {
        try {
          yield* streams.slow(args, call);
        } catch (error) {
          left.resolve(error);
        }
      },
    };
    const { asking } = line({ streams });
    for await (const _ of asking.stream("watched", 0, testCall())) break;
    expect(await left.promise).toMatchObject({ code: "CANCELLED" });
  });

  it("gives what came before its failure", async () => {
    const streams = {
      async *half() {
        yield 1;
        throw new CapstanError("UPSTREAM", "broke");
      },
    };
    const { asking } = line({ streams });
    const items = asking.stream("half", 0, testCall());
    expect(await items.next()).toEqual({ done: false, value: 1 });
    await expect(items.next()).rejects.toMatchObject({ code: "UPSTREAM" });
  });

  it("ends when the side that reads is gone", async () => {
    const { streams, state } = counting(10_000);
    const { asking, answering } = line({ streams });
    const items = asking.stream("count", undefined, testCall());
    await items.next();
    answering.close(new CapstanError("INTERNAL", "gone"));
    await expect.poll(() => state.left).toBe(true);
    asking.close(new CapstanError("INTERNAL", "gone"));
    await expect(Array.fromAsync(items)).rejects.toThrow("gone");
  });
});

describe("tensors", () => {
  const SAMPLES: { readonly [D in Datatype]: TensorData } = {
    BOOL: Uint8Array.of(0, 1, 1),
    UINT8: Uint8Array.of(1, 2, 255),
    UINT16: Uint16Array.of(1, 2, 65535),
    UINT32: Uint32Array.of(1, 2, 2 ** 32 - 1),
    UINT64: BigUint64Array.of(1n, 2n, 2n ** 64n - 1n),
    INT8: Int8Array.of(1, -2, 127),
    INT16: Int16Array.of(1, -2, 32767),
    INT32: Int32Array.of(1, -2, 2 ** 31 - 1),
    INT64: BigInt64Array.of(1n, -2n, 2n ** 63n - 1n),
    FP16: Uint16Array.of(0x3c00, 0xc000, 0x7e00),
    BF16: Uint16Array.of(0x3f80, 0x7fc0, 0),
    FP32: Float32Array.of(1.5, Number.NaN, -0),
    FP64: Float64Array.of(1.5, Number.POSITIVE_INFINITY, -0),
    BYTES: [Buffer.from("é"), new Uint8Array(), Uint8Array.of(0, 255)],
  };
  const tensors = Object.keys(DATATYPE_BYTES).map((name): Tensor => {
    const datatype = name as Datatype;
    return { name, datatype, shape: [3], data: SAMPLES[datatype], parameters: { content_type: "np" } };
  });
  const plain = (all: readonly Tensor[]) =>
    all.map(({ data, ...rest }) => ({
      ...rest,
      data: Array.isArray(data) ? data.map((each) => [...each]) : data,
    }));

  it("of every datatype go there and back, their buffers handed over", async () => {
    const methods = {
      echo: (packed: ReturnType<typeof packRequest>) => {
        const { inputs } = unpackRequest(packed);
        const answer = packResponse({ outputs: inputs, parameters: { n: 1n } });
        return new Handed(answer, [answer.buffer]);
      },
    };
    const { asking } = line({ methods });
    const request: InferRequest = {
      id: "7",
      parameters: { p: true },
      inputs: tensors,
      outputs: [{ name: "y" }],
    };
    const packed = packRequest(request);
    const answer = await asking.ask<ReturnType<typeof packResponse>>("echo", packed, testCall(), [
      packed.buffer,
    ]);
    expect(packed.buffer.detached).toBe(true);
    const { outputs, parameters } = unpackResponse(answer);
    expect(plain(outputs)).toEqual(plain(tensors));
    expect(parameters).toEqual({ n: 1n });
    expect(unpackRequest(packRequest(request))).toMatchObject({
      id: "7",
      parameters: { p: true },
      outputs: [{ name: "y" }],
    });
  });

  it("that are views bring only what they show, and stay usable", () => {
    const large = new Float32Array(1000).fill(3);
    const view = large.subarray(1, 3);
    const packed = packRequest({
      parameters: {},
      inputs: [{ name: "x", datatype: "FP32", shape: [2], data: view }],
    });
    expect(packed.buffer.byteLength).toBe(8);
    expect(view).toEqual(Float32Array.of(3, 3));
  });

  it("may be empty, and there may be none", () => {
    const empty: Tensor[] = [
      { name: "a", datatype: "FP32", shape: [0], data: new Float32Array() },
      { name: "b", datatype: "BYTES", shape: [0], data: [] },
    ];
    expect(unpackResponse(packResponse({ outputs: empty })).outputs).toEqual(empty);
    expect(unpackResponse(packResponse({ outputs: [] })).outputs).toEqual([]);
  });
});
