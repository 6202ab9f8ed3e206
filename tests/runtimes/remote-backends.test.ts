import { createServer } from "node:net";
import { describe, expect, it, test } from "vitest";
import { testCall } from "../../src/testing/index.ts";
import { failure, open, request, until, x } from "./remote-open.ts";
import { deadPort, grpcServer, httpServer, json } from "./remote-servers.ts";

describe("several backends", () => {
  it("goes on with another one when a connection cannot be made, over HTTP and gRPC", async () => {
    await using http = await httpServer();
    await using grpc = await grpcServer();
    for (const [url, scheme] of [
      [http.url, "http"],
      [grpc.url, "grpc"],
    ] as const) {
      await using runtime = await open(`${scheme}://127.0.0.1:${await deadPort()}`, { backends: [url] });
      const answers = await Promise.all(
        Array.from({ length: 8 }, () => runtime.infer(request(x(1)), testCall())),
      );
      expect(answers).toHaveLength(8);
      expect(runtime.ready?.()).toBe(true);
    }
  });

  it("goes on with another one when one answers 503, and finds the lost one again", async () => {
    await using first = await httpServer();
    await using second = await httpServer();
    await using runtime = await open(first.url, { backends: [second.url] });
    const { infer } = first;
    first.infer = (_, response) => json(response, { error: "not ready" }, 503);
    for (let i = 0; i < 6; i += 1) await runtime.infer(request(x(1)), testCall());
    first.infer = infer;
    first.seen.length = 0;
    for (let i = 0; i < 6; i += 1) await runtime.infer(request(x(1)), testCall());
    expect(first.seen.length).toBe(3);
  });

  it("gives the next request to the one with least to do", async () => {
    await using slow = await httpServer();
    await using quick = await httpServer();
    await using runtime = await open(slow.url, { backends: [quick.url] });
    const held: (() => void)[] = [];
    const { infer } = slow;
    slow.infer = (seen, response) => held.push(() => infer(seen, response));
    const stuck = [1, 2].map(() => runtime.infer(request(x(1)), testCall()));
    await until(() => held.length > 0 && quick.seen.some(({ method }) => method === "POST"));
    quick.seen.length = 0;
    for (let i = 0; i < 5; i += 1) await runtime.infer(request(x(1)), testCall());
    expect(quick.seen).toHaveLength(5);
    for (const release of held) release();
    await Promise.all(stuck);
  });

  it("says of each one why it did not take the request", async () => {
    const ports = [await deadPort(), await deadPort()];
    await using live = await httpServer();
    const backends = ports.map((port) => `http://127.0.0.1:${port}`);
    await using runtime = await open(live.url, { backends, retries: 3 });
    await live.stop();
    // What is sent on a connection before its end is noticed may have been executed, and is another case.
    await new Promise((resolve) => setTimeout(resolve, 20));
    const error = await failure(runtime.infer(request(x(1)), testCall()));
    expect(error.code).toBe("UPSTREAM");
    for (const url of [live.url, ...backends]) expect(error.message).toContain(url);
    expect(runtime.ready?.()).toBe(false);
  });

  it("follows the health checks, over HTTP and gRPC", async () => {
    await using http = await httpServer();
    await using grpc = await grpcServer();
    const set = (ready: boolean) => {
      grpc.ready = ready;
      http.routes["/v2/models/m/ready"] = (_, response) => json(response, {}, ready ? 200 : 400);
    };
    for (const { url } of [http, grpc]) {
      set(true);
      await using runtime = await open(url, { health_interval: "10ms" });
      expect(runtime.ready?.()).toBe(true);
      set(false);
      await until(() => runtime.ready?.() === false);
      set(true);
      await until(() => runtime.ready?.() === true);
    }
  });

  it("connects again when a gRPC server is back", async () => {
    const port = await deadPort();
    const first = await grpcServer({ port });
    await using runtime = await open(first.url, { retries: 0, health_interval: "20ms" });
    await first[Symbol.asyncDispose]();
    await failure(runtime.infer(request(x(1)), testCall()));
    await using _ = await grpcServer({ port });
    await until(() => runtime.ready?.() === true);
    expect((await runtime.infer(request(x(1)), testCall())).outputs).toHaveLength(1);
  });

  it("does not wait for a connection longer than connect_timeout", async () => {
    // A listener that never speaks: the connection opens, but HTTP/2 never begins.
    const silent = createServer();
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { port } = silent.address() as { port: number };
    const error = await failure(open(`grpc://127.0.0.1:${port}`, { connect_timeout: "50ms" }));
    expect(error.code).toBe("UPSTREAM");
    silent.close();
  });
});

test("disposing does not wait for ever", async () => {
  await using server = await httpServer();
  const runtime = await open(server.url, { timeout: "50ms" });
  server.infer = () => {};
  const work = failure(runtime.infer(request(x(1)), testCall()));
  await runtime[Symbol.asyncDispose]();
  expect((await work).code).toBe("DEADLINE_EXCEEDED");
});
