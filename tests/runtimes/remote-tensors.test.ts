import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { InferRequest, Tensor } from "../../src/contracts/index.ts";
import { inference } from "../../src/grpc/generated/inference.js";
import { readStreamMessage } from "../../src/grpc/stream-message.ts";
import { encode } from "../../src/grpc/wire.ts";
import { testCall } from "../../src/testing/index.ts";
import { failure, open, request, x } from "./remote-open.ts";
import { type GrpcServer, grpcServer, type HttpServer, httpServer, json } from "./remote-servers.ts";

/** Each datatype with its edges, in two rows. */
const TENSORS: readonly Tensor[] = [
  { name: "bool", datatype: "BOOL", shape: [2, 1], data: Uint8Array.of(0, 1) },
  { name: "u8", datatype: "UINT8", shape: [2, 1], data: Uint8Array.of(0, 255) },
  { name: "u16", datatype: "UINT16", shape: [2, 1], data: Uint16Array.of(0, 65535) },
  { name: "u32", datatype: "UINT32", shape: [2, 1], data: Uint32Array.of(0, 4294967295) },
  { name: "u64", datatype: "UINT64", shape: [2, 1], data: BigUint64Array.of(1n, 2n ** 64n - 1n) },
  { name: "i8", datatype: "INT8", shape: [2, 1], data: Int8Array.of(-128, 127) },
  { name: "i16", datatype: "INT16", shape: [2, 1], data: Int16Array.of(-32768, 32767) },
  { name: "i32", datatype: "INT32", shape: [2, 1], data: Int32Array.of(-(2 ** 31), 2 ** 31 - 1) },
  { name: "i64", datatype: "INT64", shape: [2, 1], data: BigInt64Array.of(-(2n ** 63n), 2n ** 53n + 1n) },
  { name: "f16", datatype: "FP16", shape: [2, 2], data: Uint16Array.of(0x3c00, 0xfbff, 0x0001, 0x7c00) },
  { name: "bf16", datatype: "BF16", shape: [2, 1], data: Uint16Array.of(0x3f80, 0xff00) },
  { name: "f32", datatype: "FP32", shape: [2, 2], data: Float32Array.of(0.1, -Infinity, -0, NaN) },
  { name: "f64", datatype: "FP64", shape: [2, 2], data: Float64Array.of(0.1, 5e-324, -0, NaN) },
  { name: "text", datatype: "BYTES", shape: [2, 1], data: [Buffer.from(""), Buffer.from('é"\n')] },
  { name: "empty", datatype: "FP32", shape: [0, 4], data: new Float32Array(0) },
];
const RAW_BYTES: Tensor = {
  name: "raw",
  datatype: "BYTES",
  shape: [1],
  data: [Buffer.from([0, 0xff, 0xfe])],
};

const plain = ({ name, datatype, shape, data }: Tensor) => {
  const elements =
    datatype === "BYTES" ? (data as Uint8Array[]).map((bytes) => [...bytes]) : Array.from(data as never);
  return { name, datatype, shape, elements };
};

interface Mode {
  readonly name: string;
  start(): Promise<HttpServer | GrpcServer>;
  readonly binary?: boolean | "auto";
}

const JSON_MODE: Mode = { name: "HTTP JSON", start: () => httpServer() };
const BINARY_MODE: Mode = {
  name: "HTTP binary",
  start: () => httpServer({ extensions: ["binary_tensor_data"] }),
};
const GRPC_MODE: Mode = { name: "gRPC raw", start: () => grpcServer() };

describe.each([JSON_MODE, BINARY_MODE, GRPC_MODE])("over $name", ({ start }) => {
  it("every datatype arrives exactly", async () => {
    await using server = await start();
    await using runtime = await open(server.url);
    const { outputs } = await runtime.infer(request(...TENSORS), testCall());
    expect(outputs.map(plain)).toEqual(TENSORS.map(plain));
    for (const tensor of TENSORS) {
      const { outputs } = await runtime.infer(request(tensor), testCall());
      expect(outputs.map(plain)).toEqual([plain(tensor)]);
    }
  });

  it("floats and 64-bit integers arrive exactly, whatever they are", async () => {
    await using server = await start();
    await using runtime = await open(server.url);
    const float = fc.float({ noNaN: true });
    const long = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
    const property = fc.asyncProperty(fc.array(float), fc.array(long), async (floats, longs) => {
      const f: Tensor = {
        name: "f",
        datatype: "FP32",
        shape: [floats.length],
        data: Float32Array.from(floats),
      };
      const i: Tensor = {
        name: "i",
        datatype: "INT64",
        shape: [longs.length],
        data: BigInt64Array.from(longs),
      };
      const { outputs } = await runtime.infer(request(f, i), testCall());
      expect(outputs.map(plain)).toEqual([f, i].map(plain));
    });
    await fc.assert(property, { numRuns: 30 });
  });

  it("parameters arrive, of the request and of each tensor, and requested outputs", async () => {
    await using server = await start();
    await using runtime = await open(server.url);
    const parameters = { text: "é", flag: true, whole: 7, part: 1.5, long: 2n ** 62n + 1n };
    const sent: InferRequest = {
      id: "id-1",
      parameters,
      inputs: [{ ...x(1), parameters }],
      outputs: [{ name: "x" }],
    };
    const { outputs } = await runtime.infer(sent, testCall());
    expect(outputs[0]?.parameters).toEqual(parameters);
    const seen = server.seen.at(-1)!;
    const wire =
      "body" in seen
        ? seen.body.toString("latin1")
        : JSON.stringify(seen, (_, v) => (typeof v === "bigint" ? String(v) : v));
    for (const part of ["id-1", "text", "whole", "4611686018427387905"]) expect(wire).toContain(part);
  });
});

describe("bytes that are not text", () => {
  it.each([BINARY_MODE, GRPC_MODE])("go as they are over $name", async ({ start }) => {
    await using server = await start();
    await using runtime = await open(server.url);
    const { outputs } = await runtime.infer(request(RAW_BYTES), testCall());
    expect(outputs.map(plain)).toEqual([plain(RAW_BYTES)]);
  });

  it("go as base64 in JSON, and come back marked so", async () => {
    await using server = await httpServer();
    await using runtime = await open(server.url);
    const { outputs } = await runtime.infer(request(RAW_BYTES), testCall());
    expect(outputs[0]?.parameters).toEqual({ content_type: "base64" });
    expect(Buffer.from(String(Buffer.from((outputs[0]!.data as Uint8Array[])[0]!)), "base64")).toEqual(
      RAW_BYTES.data[0],
    );
  });
});

describe("inputs of the content type base64, which the host has decoded", () => {
  const spec = {
    name: "raw",
    datatype: "BYTES" as const,
    shape: [-1],
    parameters: { content_type: "base64" },
  };
  const metadata = { name: "m", inputs: [spec] };
  const text = Buffer.from("AP/+");

  it.each([
    ["by the input", {}, { ...RAW_BYTES, parameters: { content_type: "base64" } }, {}],
    ["by the request", {}, RAW_BYTES, { content_type: "base64" }],
    ["by the metadata", { metadata }, RAW_BYTES, {}],
  ])(
    "are text again for a server that decodes them itself, when so named %s",
    async (_, options, input, parameters) => {
      await using server = await httpServer(options);
      await using runtime = await open(server.url);
      const { outputs } = await runtime.infer({ parameters, inputs: [input] }, testCall());
      expect(outputs[0]).toMatchObject({ data: [text], parameters: { content_type: "base64" } });
    },
  );

  it("are bytes for a server that takes bytes, over HTTP and gRPC", async () => {
    const input = { ...RAW_BYTES, parameters: { content_type: "base64", kept: 1 } };
    await using grpc = await grpcServer();
    await using http = await BINARY_MODE.start();
    for (const [url, extensions, expected] of [
      [http.url, [], RAW_BYTES.data[0]],
      [grpc.url, ["binary_tensor_data"], RAW_BYTES.data[0]],
      [grpc.url, [], text],
    ] as const) {
      grpc.extensions = extensions;
      await using runtime = await open(url);
      const { outputs } = await runtime.infer(request(input), testCall());
      expect(Buffer.from((outputs[0]!.data as Uint8Array[])[0]!)).toEqual(expected);
      expect(outputs[0]?.parameters?.content_type).toBe(expected === text ? "base64" : undefined);
    }
  });
});

describe("what is on the wire", () => {
  it("follows `binary`, and asks the server only when it may choose", async () => {
    await using server = await httpServer({ extensions: ["binary_tensor_data"] });
    for (const [binary, type] of [
      ["auto", "application/octet-stream"],
      [true, "application/octet-stream"],
      [false, "application/json"],
    ] as const) {
      server.seen.length = 0;
      await using runtime = await open(server.url, { binary });
      await runtime.infer(request(x(1)), testCall());
      await runtime.infer(request(x(1)), testCall());
      expect(server.seen.at(-1)?.headers["content-type"]).toBe(type);
      expect(server.seen.filter(({ path }) => path === "/v2")).toHaveLength(binary === "auto" ? 1 : 0);
    }
  });

  it("is JSON where the server metadata is not to be had, and waits where it is only late", async () => {
    await using server = await httpServer();
    await using runtime = await open(server.url);
    const answer = (status: number) => {
      server.routes["/v2"] = (_, response) => json(response, { error: "no" }, status);
    };
    answer(500);
    expect((await failure(runtime.infer(request(x(1)), testCall()))).code).toBe("UPSTREAM");
    answer(404);
    await runtime.infer(request(x(1)), testCall());
    expect(server.seen.at(-1)?.headers["content-type"]).toBe("application/json");
  });

  it("is V2, byte for byte", async () => {
    await using server = await httpServer();
    await using runtime = await open(server.url, { binary: true });
    await runtime.infer(
      {
        id: "7",
        parameters: {},
        inputs: [x(1)],
        outputs: [{ name: "x", parameters: { binary_data: false } }],
      },
      testCall(),
    );
    const { body, headers } = server.seen.at(-1)!;
    const length = Number(headers["inference-header-content-length"]);
    expect(JSON.parse(body.subarray(0, length).toString())).toEqual({
      id: "7",
      parameters: { binary_data_output: true },
      inputs: [{ name: "x", datatype: "FP32", shape: [1], parameters: { binary_data_size: 4 } }],
      outputs: [{ name: "x", parameters: {} }],
    });
    expect(body.subarray(length).toString("hex")).toBe("0000803f");
  });

  it("may be answered with binary tensors that do not add up, which is not V2", async () => {
    await using server = await httpServer();
    await using runtime = await open(server.url, { binary: true });
    const output = (size: number) => ({
      name: "x",
      datatype: "FP32",
      shape: [1],
      parameters: { binary_data_size: size },
    });
    for (const [size, tail, header] of [
      [4, 3, undefined],
      [4, 8, undefined],
      [8, 8, undefined],
      [4, 4, "9999"],
      [4, 4, "x"],
    ] as const) {
      server.infer = (_, response) => {
        const head = JSON.stringify({ outputs: [output(size)] });
        response.setHeader("inference-header-content-length", header ?? String(head.length));
        response.end(head + "\0".repeat(tail));
      };
      const error = await failure(runtime.infer(request(x(1)), testCall()));
      expect([error.code, error.message]).toEqual(["UPSTREAM", expect.stringContaining("not V2")]);
    }
  });

  it("may hold null where MLServer has no number to write", async () => {
    await using server = await httpServer();
    await using runtime = await open(server.url);
    server.infer = (_, response) =>
      json(response, { outputs: [{ name: "y", datatype: "FP64", shape: [2], data: [null, 1.5] }] });
    expect((await runtime.infer(request(x(1)), testCall())).outputs[0]?.data).toEqual(
      Float64Array.of(NaN, 1.5),
    );
  });

  it("may hold an integer that JSON's numbers do not, and no fraction for one", async () => {
    await using server = await httpServer();
    await using runtime = await open(server.url);
    const read = async (data: string) => {
      server.infer = (_, response) => {
        response.end(`{"outputs":[{"name":"y","datatype":"INT64","shape":[1],"data":[${data}]}]}`);
      };
      return (await runtime.infer(request(x(1)), testCall())).outputs[0]?.data;
    };
    expect(await read("9007199254740993")).toEqual(BigInt64Array.of(9007199254740993n));
    expect((await failure(read("9007199254740993.5"))).code).toBe("UPSTREAM");
  });

  it("may be typed contents, though the request was raw", async () => {
    await using server = await grpcServer();
    await using runtime = await open(server.url);
    const contents = { int64Contents: [2n ** 60n] };
    server.infer = (_, done) =>
      done(null, { outputs: [{ name: "y", datatype: "INT64", shape: [1], contents }] });
    expect((await runtime.infer(request(x(1)), testCall())).outputs[0]?.data).toEqual(
      BigInt64Array.of(2n ** 60n),
    );
  });

  it("is read in both forms of ModelStreamInfer", () => {
    const answer = {
      modelName: "m",
      modelVersion: "v1",
      outputs: [{ name: "x", datatype: "FP32", shape: [1] }],
    };
    const bare = readStreamMessage(encode(inference.ModelInferResponse, answer));
    const wrapped = readStreamMessage(encode(inference.ModelStreamInferResponse, { inferResponse: answer }));
    const error = readStreamMessage(
      encode(inference.ModelStreamInferResponse, { errorMessage: "no", inferResponse: {} }),
    );
    expect([bare.errorMessage, bare.inferResponse?.modelVersion]).toEqual(["", "v1"]);
    expect(bare.inferResponse).toEqual(wrapped.inferResponse);
    expect(error.errorMessage).toBe("no");
  });
});
