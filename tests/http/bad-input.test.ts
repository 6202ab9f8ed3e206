import { deflateSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { abandon, exchangeRaw } from "../support/raw.ts";
import { IRIS_ROW, SAMPLES, serve, type TestServer } from "../support/server.ts";

let server: TestServer;
beforeAll(async () => {
  server = await serve(SAMPLES, { max_body_bytes: 1_000_000 });
});
afterAll(() => server[Symbol.asyncDispose]());

const IRIS = "/v2/models/iris/infer";
const x = (change: Record<string, unknown>) => ({ inputs: [{ ...IRIS_ROW.inputs[0], ...change }] });

async function refused(path: string, init: RequestInit & { json?: unknown }) {
  const { json, ...rest } = init;
  const body = json === undefined ? rest.body : typeof json === "string" ? json : JSON.stringify(json);
  const headers = { "content-type": "application/json", ...(rest.headers as Record<string, string>) };
  const response = await server.request(path, { method: "POST", ...rest, body, headers });
  const answer = (await response.json()) as { error: string };
  expect(Object.keys(answer)).toEqual(["error"]);
  expect(answer.error).not.toMatch(/\n\s+at /);
  return { status: response.status, error: answer.error };
}

/** Every body a caller can get wrong: what it is, the body, and what the message must name. */
const faults: [string, unknown, RegExp][] = [
  ["not JSON", '{"inputs": [', /JSON/],
  ["an empty body", "", /JSON|empty/],
  ["an array", "[]", /object/],
  ["no inputs", {}, /inputs/],
  ["inputs that are no array", { inputs: {} }, /inputs/],
  ["an empty list of inputs", { inputs: [] }, /inputs/],
  ["an input without a name", x({ name: undefined }), /name/],
  ["an unknown input", x({ name: "Y" }), /'Y'/],
  ["the same input twice", { inputs: [IRIS_ROW.inputs[0], IRIS_ROW.inputs[0]] }, /'X'/],
  ["an unknown datatype", x({ datatype: "FLOAT" }), /FLOAT/],
  ["another datatype than the model's", x({ datatype: "FP64" }), /FP64.*FP32|FP32.*FP64/],
  ["a shape that is no array", x({ shape: 4 }), /shape/],
  ["a negative dimension", x({ shape: [-1, 4] }), /-1/],
  ["a fractional dimension", x({ shape: [1.5, 4] }), /1\.5/],
  ["a shape that overflows", x({ shape: [2 ** 31, 2 ** 31] }), /shape/],
  ["a wrong rank", x({ shape: [4] }), /\[4\]/],
  ["a wrong fixed dimension", x({ shape: [2, 2] }), /\[2, ?2\].*4|4.*\[2, ?2\]/],
  ["too few elements", x({ data: [1, 2, 3] }), /3/],
  ["too many elements", x({ data: [1, 2, 3, 4, 5] }), /5/],
  [
    "ragged nested data",
    x({
      shape: [2, 4],
      data: [
        [1, 2, 3, 4],
        [1, 2, 3],
      ],
    }),
    /X/,
  ],
  ["text in numbers", x({ data: [1, "2", 3, 4] }), /"2"|'2'/],
  ["null in numbers", x({ data: [1, null, 3, 4] }), /null/],
  ["a number out of range", x({ data: [1, 1e300, 3, 4] }), /1e\+?300/],
  ["an object for data", x({ data: { 0: 1 } }), /data/],
  ["no data", x({ data: undefined }), /data/],
  ["deeply nested data", x({ data: JSON.parse("[".repeat(2000) + "]".repeat(2000)) }), /X/],
  ["an unknown output", { ...IRIS_ROW, outputs: [{ name: "nothing" }] }, /nothing/],
  ["a parameter that is an object", { ...IRIS_ROW, parameters: { a: {} } }, /a/],
  ["an id that is a number", { ...IRIS_ROW, id: 7 }, /id/],
];

describe("a faulty body", () => {
  it.each(faults)("%s is a 400 that says so", async (_what, json, message) => {
    const { status, error } = await refused(IRIS, { json });
    expect(error).toMatch(message);
    expect(status).toBe(400);
  });

  it("NaN as a bare word is malformed JSON", async () => {
    const { status } = await refused(IRIS, { json: JSON.stringify(x({})).replace("6.3", "NaN") });
    expect(status).toBe(400);
  });

  it("missing inputs are named", async () => {
    const { status, error } = await refused("/v2/models/churn/infer", {
      json: { inputs: [{ name: "plan", shape: [1, 1], datatype: "BYTES", data: ["pro"] }] },
    });
    expect(status).toBe(400);
    expect(error).toMatch(/country/);
  });

  it("is refused by size before it is read", async () => {
    const { status, error } = await refused(IRIS, { body: Buffer.alloc(1_000_001, 32) });
    expect(status).toBe(413);
    expect(error).toMatch(/max_body_bytes/);
  });

  it("is refused when it unpacks to too much", async () => {
    const body = gzipSync(Buffer.alloc(20_000_000, 32));
    const { status } = await refused(IRIS, { body, headers: { "content-encoding": "gzip" } });
    expect(status).toBe(413);
  });

  it.each(["gzip", "deflate"])("is refused when it is not %s", async (coding) => {
    const { status, error } = await refused(IRIS, {
      json: IRIS_ROW,
      headers: { "content-encoding": coding },
    });
    expect(status).toBe(400);
    expect(error).toMatch(coding);
  });

  it("is refused in a coding nobody knows", async () => {
    const { status } = await refused(IRIS, { json: IRIS_ROW, headers: { "content-encoding": "brotli9" } });
    expect(status).toBe(415);
  });

  it.each(["text/plain", "application/x-www-form-urlencoded", "application/octet-stream"])(
    "is refused as %s",
    async (type) => {
      const { status, error } = await refused(IRIS, { json: IRIS_ROW, headers: { "content-type": type } });
      expect(status).toBe(415);
      expect(error).toMatch(/application\/json/);
    },
  );
});

describe("a compressed body", () => {
  it.each([
    ["gzip", gzipSync],
    ["deflate", deflateSync],
  ])("in %s is read, and the answer compressed when asked for", async (coding, pack) => {
    const rows = 500;
    const data = Array.from({ length: rows * 4 }, (_, i) => i % 7);
    const response = await server.request(IRIS, {
      method: "POST",
      headers: { "content-type": "application/json", "content-encoding": coding, "accept-encoding": coding },
      body: pack(JSON.stringify(x({ shape: [rows, 4], data }))),
    });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-encoding")).toBe(coding);
    const answer = (await response.json()) as { outputs: { name: string; shape: number[] }[] };
    expect(answer.outputs[0]).toMatchObject({ name: "label", shape: [rows] });
  });
});

describe("binary tensors", () => {
  const header = (parameters: object) =>
    JSON.stringify({ inputs: [{ name: "X", shape: [1, 4], datatype: "FP32", parameters }] });
  const send = (headerLength: string, body: Buffer) =>
    refused(IRIS, {
      body,
      headers: {
        "content-type": "application/octet-stream",
        "inference-header-content-length": headerLength,
      },
    });

  it.each([
    ["missing bytes", 12],
    ["left-over bytes", 20],
  ])("with %s are a 400", async (_what, size) => {
    const json = header({ binary_data_size: 16 });
    const { status, error } = await send(
      String(json.length),
      Buffer.concat([Buffer.from(json), Buffer.alloc(size)]),
    );
    expect(status).toBe(400);
    expect(error).toMatch(/16|bytes/);
  });

  it.each(["-1", "abc", "1.5", "999999", ""])("with the header length %j are a 400", async (length) => {
    const { status } = await send(length, Buffer.from(JSON.stringify(IRIS_ROW)));
    expect(status).toBe(400);
  });
});

describe("paths", () => {
  it.each([
    ["/v2/models/ghost/infer", 404],
    ["/v2/models/iris/versions/9/infer", 404],
    ["/v2/models/..%2f..%2fetc/infer", 400],
    ["/v2/models/iris%2f..%2fchurn/infer", 400],
    ["/v2/models/a%00b/infer", 400],
    ["/v2/models/..%5c..%5cetc/infer", 400],
    [`/v2/models/${"n".repeat(300)}/infer`, 400],
    ["/v2/models/%zz/infer", 404],
    ["/v2/nothing", 404],
    ["/", 404],
  ])("%s is a %i", async (path, expected) => {
    const { status } = await refused(path, { json: IRIS_ROW });
    expect(status).toBe(expected);
  });

  it.each([
    ["GET", IRIS, "POST"],
    ["DELETE", "/v2", "GET, HEAD"],
    ["PUT", "/v2/models/iris", "GET, HEAD"],
  ])("%s %s is a 405 that says what is allowed", async (method, path, allow) => {
    const response = await server.request(path, { method });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe(allow);
    expect(Object.keys((await response.json()) as object)).toEqual(["error"]);
  });
});

describe("what is hardly HTTP", () => {
  it.each([
    ["garbage", "\x16\x03\x01garbage\r\n\r\n"],
    ["a bad header", "GET /v2 HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n"],
    ["a bad Host", "GET /v2 HTTP/1.1\r\nhost: a b@[\r\n\r\n"],
    ["two lengths", `POST ${IRIS} HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n`],
  ])("%s is answered with 400 and an error", async (_what, bytes) => {
    const answer = await exchangeRaw(server.running.http.port, bytes);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toMatch(/\{"error":/);
  });

  it("an abandoned body harms nobody", async () => {
    const head = `POST ${IRIS} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n`;
    await Promise.all(
      Array.from({ length: 20 }, () => abandon(server.running.http.port, `${head}{"inputs": [`)),
    );
    const { status } = await server.post(IRIS, IRIS_ROW);
    expect(status).toBe(200);
  });
});
