import { describe, expect, it } from "vitest";
import remote from "../../runtimes/remote/index.ts";
import { testCall, testHost } from "../../src/testing/index.ts";
import { failure, open } from "./remote-open.ts";
import { deadPort, grpcServer, httpServer } from "./remote-servers.ts";

describe("loading", () => {
  it("takes the signature and the platform from the other server, and the settings' before that", async () => {
    const inputs = [
      { name: "x", datatype: "FP32", shape: [-1, 4], parameters: { content_type: "np", tags: [1] } },
    ];
    const metadata = { name: "m", platform: "sklearn", inputs, outputs: [] };
    await using server = await httpServer({ metadata });
    await using runtime = await open(server.url);
    expect(runtime.platform).toBe("sklearn");
    expect(runtime.inputs).toEqual([{ ...inputs[0], parameters: { content_type: "np" } }]);
    expect(runtime.outputs).toBeUndefined();
    const own = [{ name: "y", datatype: "INT64" as const, shape: [1] }];
    const parsed = remote.options.safeParse({ remote_model: "m" });
    if (!parsed.success) throw new Error("refused");
    const model = { name: "here", version: "1", folder: "/", uri: server.url, inputs: own, platform: "mine" };
    await using settled = await remote.load(model, parsed.data, testHost(), testCall());
    expect([settled.inputs, settled.platform]).toEqual([own, "mine"]);
  });

  it("leaves requests unchecked where the metadata is empty or not V2", async () => {
    for (const inputs of [[], [{ name: "x", datatype: "ANY", shape: [1] }], [{ name: "x" }], "x", [null]]) {
      await using server = await httpServer({ metadata: { name: "m", inputs } });
      await using runtime = await open(server.url);
      expect(runtime.inputs).toBeUndefined();
    }
  });

  it("reads the metadata over gRPC", async () => {
    await using server = await grpcServer();
    server.model = { name: "m", platform: "p", inputs: [{ name: "x", datatype: "INT8", shape: [-1, 2] }] };
    await using runtime = await open(server.url);
    expect(runtime).toMatchObject({
      platform: "p",
      inputs: [{ name: "x", datatype: "INT8", shape: [-1, 2] }],
    });
  });

  it("is tried again later, whatever the other server lacks: UPSTREAM, with all that was asked", async () => {
    await using server = await httpServer();
    const dead = `http://127.0.0.1:${await deadPort()}`;
    const error = await failure(open(server.url, { remote_model: "nope", backends: [dead] }));
    expect(error.code).toBe("UPSTREAM");
    expect(error.message).toContain(`${server.url} answered 404`);
    expect(error.message).toContain(`${dead} cannot be reached`);
  });

  it.each([
    ["http://127.0.0.1:1", { backends: ["grpc://127.0.0.1:1"] }, "one protocol"],
    ["http://127.0.0.1:1", { backends: ["http://127.0.0.1:1/"] }, "twice"],
    ["http://user:secret@127.0.0.1:1", {}, "headers.authorization"],
    ["user:secret@127.0.0.1", {}, "not known"],
    ["127.0.0.1:9001", {}, "not an address"],
    ["ftp://127.0.0.1:1", {}, "'ftp:' is not known"],
    ["grpc://127.0.0.1", {}, "no port"],
    ["grpc://127.0.0.1:1/path", {}, "does not have"],
    ["http://127.0.0.1:1/?q=1", {}, "does not have"],
    ["https://127.0.0.1:1", { tls: { ca: "./none.pem" } }, "./none.pem"],
  ])("refuses %s with %j", async (uri, extra, words) => {
    const error = await failure(open(uri, extra));
    expect([error.code, error.message]).toEqual(["LOAD_FAILED", expect.stringContaining(words)]);
    expect(error.message).not.toContain("secret");
  });

  it("needs an address", async () => {
    const parsed = remote.options.safeParse({});
    const model = { name: "m", version: "1", folder: "/" };
    const error = await failure(
      remote.load(model, parsed.success ? parsed.data : never(), testHost(), testCall()),
    );
    expect([error.code, error.message]).toEqual(["LOAD_FAILED", expect.stringContaining("parameters.uri")]);
  });

  it.each([
    { timeout: "60" },
    { timeout: "0s" },
    { timeout: "25h" },
    { binary: "yes" },
    { headers: { "content-length": "1" } },
    { headers: { "a b": "1" } },
    { headers: { a: "line\nbreak" } },
    { headers: { "key-bin": "1" } },
    { tls: { cert: "a.pem" } },
  ])("refuses the options %j", (options) => {
    expect(remote.options.safeParse(options).success).toBe(false);
  });
});

function never(): never {
  throw new Error("the defaults are refused");
}
