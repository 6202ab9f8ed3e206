import http2 from "node:http2";
import { describe, expect, test } from "vitest";
import type { Call, CapstanError } from "../../src/contracts/index.ts";
import type { inference } from "../../src/grpc/generated/inference.js";
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
import { aborted, Gates, heldBy, METHOD, request, short, streaming } from "../support/streams.ts";

describe("limits", () => {
  test("a client that does not read stops the model", async () => {
    let made = 0;
    let over = false;
    const endless = streaming(async function* (_, { signal }) {
      try {
        while (!signal.aborted) {
          made += 1;
          yield { outputs: [output("y", new Float32Array(16_384))] };
        }
      } finally {
        over = true;
      }
    });
    await using server = await serveGrpc({ endless });
    const session = http2.connect(`http://127.0.0.1:${server.listening.port}`);
    const stream = session.request({
      ":method": "POST",
      ":path": METHOD.path,
      "content-type": "application/grpc",
    });
    stream.on("error", () => undefined);
    stream.write(framed(METHOD.requestSerialize(request("endless", "1"))));
    await settled(() => made);
    // 64 KiB each: HTTP/2 takes one window, the outlet holds four, one waits, one more was asked for.
    expect(made).toBeGreaterThan(1);
    expect(made).toBeLessThan(10);
    const before = made;
    stream.resume();
    await eventually(() => made > before + 10);
    stream.close(http2.constants.NGHTTP2_CANCEL);
    await eventually(() => over);
    session.close();
  });

  test("no more requests are read than can be in hand", async () => {
    const gates = new Gates();
    let running = 0;
    const held: FakeModel = {
      ...IDENTITY,
      async infer({ inputs }) {
        running += 1;
        await gates.wait("all");
        return { outputs: inputs };
      },
    };
    await using server = await serveGrpc({ held });
    const call = server.client.open(METHOD);
    let answers = 0;
    call.on("data", () => (answers += 1));
    for (let index = 0; index < 300; index += 1)
      call.write(METHOD.requestSerialize(request("held", `${index}`)));
    call.end();
    await settled(() => running);
    expect(running).toBe(64);
    gates.open("all");
    expect(codeName((await ended(call)).code)).toBe("OK");
    expect(answers).toBe(300);
  });

  test("requests in hand are bounded in bytes, too", async () => {
    const gates = new Gates();
    let running = 0;
    const held: FakeModel = {
      ...IDENTITY,
      async infer({ inputs }) {
        running += 1;
        await gates.wait("all");
        return { outputs: inputs };
      },
    };
    await using server = await serveGrpc({ held }, { grpc_max_message_length: 10_000 });
    const message = { modelName: "held", inputs: [fp32(Array(1000).fill(1))] };
    const done = server.client.stream(METHOD, Array(20).fill(message));
    await settled(() => running);
    expect(running).toBe(3);
    gates.open("all");
    expect((await done).messages).toHaveLength(20);
  });
});

/** Waits until a number has not changed for a while. */
async function settled(value: () => number): Promise<void> {
  let before = -1;
  let same = 0;
  while (same < 10) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    same = value() === before && before > 0 ? same + 1 : 0;
    before = value();
  }
}

describe("the ends of a stream", () => {
  test("cancelling aborts everything under way", async () => {
    const calls: Call[] = [];
    const hanging: FakeModel = {
      ...IDENTITY,
      infer(_, call) {
        calls.push(call);
        return aborted(call.signal);
      },
    };
    const streams = streaming(async function* (_, call) {
      calls.push(call);
      yield { outputs: [] };
      await aborted(call.signal);
    });
    await using server = await serveGrpc({ hanging, streams });
    const call = server.client.open(METHOD, { headers: { "x-request-id": "whole" } });
    const end = ended(call);
    call.on("data", () => undefined);
    for (const model of ["hanging", "streams", "hanging"])
      call.write(METHOD.requestSerialize(request(model, "")));
    await eventually(() => calls.length === 3);
    call.cancel();
    expect(codeName((await end).code)).toBe("CANCELLED");
    await eventually(() => calls.every(({ signal }) => signal.aborted));
    expect(calls.map(({ signal }) => (signal.reason as CapstanError).code)).toEqual(
      Array(3).fill("CANCELLED"),
    );
    expect(calls.map(({ requestId }) => requestId).toSorted()).toEqual(["whole/1", "whole/2", "whole/3"]);
  });

  test("the deadline of the stream reaches the models", async () => {
    const calls: Call[] = [];
    const hanging: FakeModel = {
      ...IDENTITY,
      infer(_, call) {
        calls.push(call);
        return aborted(call.signal);
      },
    };
    await using server = await serveGrpc({ hanging });
    const { code } = await server.client.stream(METHOD, [request("hanging", "1")], { deadlineMs: 150 });
    expect(codeName(code)).toBe("DEADLINE_EXCEEDED");
    await eventually(() => calls[0]?.signal.aborted);
    expect(calls[0]?.deadline).toBeGreaterThan(0);
    expect(["DEADLINE_EXCEEDED", "CANCELLED"]).toContain((calls[0]!.signal.reason as CapstanError).code);
  });

  test("a client that sends nothing and ends gets OK; one that stays open is ended when the server stops", async () => {
    await using server = await serveGrpc();
    expect(codeName((await server.client.stream(METHOD, [])).code)).toBe("OK");
    const call = server.client.open(METHOD);
    const end = ended(call);
    const messages: unknown[] = [];
    call.on("data", (message: inference.ModelStreamInferResponse) => messages.push(short(message)));
    call.write(METHOD.requestSerialize(request("identity", "1")));
    await eventually(() => messages.length === 1);
    await server.listening.close();
    const { code, details } = await end;
    expect([codeName(code), details]).toEqual(["UNAVAILABLE", expect.stringContaining("stopping")]);
  });

  test("a server that stops answers what it has read first", async () => {
    const gates = new Gates();
    await using server = await serveGrpc({ held: heldBy(gates) });
    const call = server.client.open(METHOD);
    const end = ended(call);
    const messages: unknown[] = [];
    call.on("data", (message: inference.ModelStreamInferResponse) => messages.push(short(message)));
    call.write(METHOD.requestSerialize(request("held", "1")));
    await gates.wait("started");
    const closed = server.listening.close();
    gates.open("1");
    expect(codeName((await end).code)).toBe("UNAVAILABLE");
    expect(messages).toEqual([["1", 1, true]]);
    await closed;
  });
});
