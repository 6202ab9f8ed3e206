import { afterEach, beforeEach, describe, expect, it } from "vitest";
import remote from "../../runtimes/remote/index.ts";
import { runtimeContract, testCall } from "../../src/testing/index.ts";
import { failure, open, request, until, x } from "./remote-open.ts";
import { type HttpServer, httpServer, json } from "./remote-servers.ts";

describe("over HTTP", () => {
  let server: HttpServer;
  beforeEach(async () => {
    server = await httpServer();
  });
  afterEach(() => server[Symbol.asyncDispose]());

  describe("keeps the contract", () => {
    const model = () => ({ name: "m", version: "1", folder: import.meta.dirname, uri: server.url });
    const badRequest = () => request(x(-1));
    beforeEach(() => {
      const { infer } = server;
      server.infer = (seen, response) =>
        seen.body.includes("[-1]") ? json(response, { error: "no" }, 400) : infer(seen, response);
    });
    const fixture = {
      model,
      request: () => request(x(1, 2)),
      badRequest,
      options: { health_interval: "1h" },
    };
    for (const { name, run } of runtimeContract(remote, fixture)) it(name, run);
  });

  it.each([
    [400, "INVALID_ARGUMENT"],
    [401, "UPSTREAM"],
    [403, "UPSTREAM"],
    [404, "NOT_FOUND"],
    [405, "UNSUPPORTED"],
    [413, "TOO_LARGE"],
    [422, "INVALID_ARGUMENT"],
    [429, "RATE_LIMITED"],
    [500, "UPSTREAM"],
    [501, "UNSUPPORTED"],
    [502, "UPSTREAM"],
    [503, "UPSTREAM"],
    [504, "DEADLINE_EXCEEDED"],
  ])("answers an upstream's %i with %s, its words and its address", async (status, code) => {
    server.infer = (_, response) => json(response, { error: "because of this" }, status);
    await using runtime = await open(server.url, { retries: 0 });
    const error = await failure(runtime.infer(request(x(1)), testCall()));
    expect(error.code).toBe(code);
    expect(error.message).toContain(`${server.url} answered ${status}: because of this`);
  });

  it("passes Retry-After on", async () => {
    server.infer = (_, response) => {
      response.setHeader("retry-after", "7");
      json(response, { error: "slow down" }, 429);
    };
    await using runtime = await open(server.url);
    expect((await failure(runtime.infer(request(x(1)), testCall()))).retryAfterMs).toBe(7000);
  });

  it("reads FastAPI's faults, and repeats neither its data nor a page of HTML", async () => {
    await using runtime = await open(server.url);
    const detail = [{ loc: ["body", "inputs", 0], msg: "not so", input: "PRIVATE" }];
    server.infer = (_, response) => json(response, { detail: "nothing here" }, 404);
    expect((await failure(runtime.infer(request(x(1)), testCall()))).message).toMatch(/404: nothing here$/);
    server.infer = (_, response) => json(response, { detail }, 422);
    const fault = await failure(runtime.infer(request(x(1)), testCall()));
    expect(fault.message).toMatch(/body\.inputs\.0: not so$/);
    server.infer = (_, response) => {
      response.writeHead(500, { "content-type": "text/html" }).end("<h1>Traceback</h1>");
    };
    const page = await failure(runtime.infer(request(x(1)), testCall()));
    expect([page.code, page.message]).toEqual(["UPSTREAM", expect.stringMatching(/18 bytes of text\/html$/)]);
  });

  it.each([
    ["text", "hello"],
    ["no object", "[]"],
    ["no outputs", "{}"],
    ["an unknown datatype", '{"outputs":[{"name":"x","datatype":"FP3","shape":[1],"data":[1]}]}'],
    ["a shape that does not fit", '{"outputs":[{"name":"x","datatype":"FP32","shape":[2],"data":[1]}]}'],
    ["a negative shape", '{"outputs":[{"name":"x","datatype":"FP32","shape":[-1],"data":[1]}]}'],
    ["data of another type", '{"outputs":[{"name":"x","datatype":"INT8","shape":[1],"data":[300]}]}'],
    ["no data", '{"outputs":[{"name":"x","datatype":"INT8","shape":[1]}]}'],
  ])("answers a body with %s with UPSTREAM", async (_, body) => {
    server.infer = (__, response) => {
      response.writeHead(200, { "content-type": "application/json" }).end(body);
    };
    await using runtime = await open(server.url);
    const error = await failure(runtime.infer(request(x(1)), testCall()));
    expect([error.code, error.message]).toEqual(["UPSTREAM", expect.stringContaining("not V2")]);
  });

  it("does not send again what may have been executed", async () => {
    await using other = await httpServer();
    server.infer = other.infer = (_, response) => response.destroy();
    await using runtime = await open(server.url, { backends: [other.url], retries: 5 });
    const error = await failure(runtime.infer(request(x(1)), testCall()));
    expect(error.code).toBe("UPSTREAM");
    const sent = [...server.seen, ...other.seen].filter(({ method }) => method === "POST");
    expect(sent).toHaveLength(1);
  });

  it("refuses an answer that is larger than allowed", async () => {
    await using runtime = await open(server.url, { max_message_bytes: 1024 });
    const error = await failure(runtime.infer(request(x(...Array<number>(2000).fill(1))), testCall()));
    expect([error.code, error.message]).toEqual(["UPSTREAM", expect.stringContaining("max_message_bytes")]);
    await runtime.infer(request(x(1)), testCall());
  });

  it("tells the upstream the deadline and the request's id, and adds the configured headers", async () => {
    await using runtime = await open(server.url, { headers: { authorization: "Bearer s", host: "other" } });
    await runtime.infer(request(x(1)), testCall({ deadline: Date.now() + 5000, requestId: "r1" }));
    const { headers } = server.seen.at(-1)!;
    expect(headers).toMatchObject({ authorization: "Bearer s", host: "other", "x-request-id": "r1" });
    expect(Number(headers["x-request-timeout-ms"])).toBeGreaterThan(0);
    expect(Number(headers["x-request-timeout-ms"])).toBeLessThanOrEqual(5000);
  });

  it("gives up at the timeout and at the deadline, and the upstream notices", async () => {
    server.infer = () => {};
    await using runtime = await open(server.url, { timeout: "30ms" });
    const late = await failure(runtime.infer(request(x(1)), testCall()));
    expect([late.code, late.message]).toEqual([
      "DEADLINE_EXCEEDED",
      expect.stringContaining("did not answer within 30 ms"),
    ]);
    const call = testCall({ deadline: Date.now() - 1 });
    expect((await failure(runtime.infer(request(x(1)), call))).code).toBe("DEADLINE_EXCEEDED");
    await until(() => server.aborted > 0);
  });

  it("cancels upstream when the caller leaves", async () => {
    server.infer = () => {};
    await using runtime = await open(server.url);
    const caller = new AbortController();
    const work = runtime.infer(request(x(1)), testCall({ signal: caller.signal }));
    await until(() => server.seen.some(({ method }) => method === "POST"));
    const reason = new Error("left");
    caller.abort(reason);
    await expect(work).rejects.toBe(reason);
    await until(() => server.aborted === 1);
  });

  it("cancels what still waits for a connection", async () => {
    server.infer = () => {};
    await using runtime = await open(server.url, { connections: 1 });
    const first = new AbortController();
    const second = new AbortController();
    const works = [first, second].map(({ signal }) => runtime.infer(request(x(1)), testCall({ signal })));
    await until(() => server.seen.some(({ method }) => method === "POST"));
    second.abort();
    first.abort();
    await Promise.allSettled(works);
    expect(server.seen.filter(({ method }) => method === "POST")).toHaveLength(1);
  });

  it("has no streams, which V2 REST does not define", async () => {
    await using runtime = await open(server.url);
    expect(runtime.inferStream).toBeUndefined();
  });

  it("asks for a version and under a prefix, with names that fit a path", async () => {
    await using odd = await httpServer();
    const model = { name: "a/b", inputs: [], outputs: [] };
    odd.routes["/base/v2/models/a%2Fb/versions/1%202"] = (_, response) => json(response, model);
    await using _ = await open(`${odd.url}/base/`, { remote_model: "a/b", remote_version: "1 2" });
    expect(odd.seen.map(({ path }) => path)).toContain("/base/v2/models/a%2Fb/versions/1%202/ready");
  });
});
