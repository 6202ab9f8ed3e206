import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { column, tensor, writeMlModel } from "../support/mlflow-model.ts";
import { arithmetic, identity } from "../support/onnx-graphs.ts";
import { onnxModel } from "../support/onnx-model.ts";
import { serve, TestRepository, type TestServer } from "../support/server.ts";

const JSON_TYPE = "application/json";

let repository: TestRepository;
let server: TestServer;

/** Rows of `y` [n,2], and `top` [n,1]: what a regressor and a classifier give. */
const MATRIX = onnxModel({
  inputs: [{ name: "x", datatype: "FP32", shape: ["n", 2] }],
  outputs: [
    { name: "y", datatype: "FP32", shape: ["n", 2] },
    { name: "top", datatype: "FP32", shape: ["n", 1] },
  ],
  nodes: [
    { op: "Identity", inputs: ["x"], outputs: ["y"] },
    { op: "ReduceMax", inputs: ["x"], outputs: ["top"], attributes: { axes: [1], keepdims: 1 } },
  ],
});

beforeAll(async () => {
  repository = await TestRepository.create();
  const onnx = (name: string, model: Uint8Array, more: object = {}) =>
    repository.write(
      name,
      { name, implementation: "onnx", parameters: { uri: "./model.onnx" }, ...more },
      model,
    );
  const mlflow = async (name: string, model: Uint8Array, inputs: readonly object[]) => {
    await writeMlModel(repository.path(name), model, { inputs });
    await repository.write(name, { name, implementation: "mlflow", parameters: { uri: "./" } });
  };
  await onnx("matrix", MATRIX);
  await onnx("sum", arithmetic());
  await onnx("long", identity("INT64", ["n", 1]));
  await onnx("text", identity("BYTES", ["n"]));
  await onnx("bool", identity("BOOL", ["n"]));
  await onnx("half", identity("FP16", ["n"]));
  await onnx("image", identity("FP32", ["n", 2, 2]));
  await onnx("unknown", identity("FP32"));
  await mlflow("signed", MATRIX, [column("a", "double"), column("b", "double", false)]);
  await mlflow("tensor", MATRIX, [tensor("float32", [-1, 2])]);
  server = await serve(repository.root);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
});

async function invoke(model: string, body: unknown, type = JSON_TYPE) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const headers = { "content-type": type };
  const response = await server.request(`/models/${model}/invocations`, {
    method: "POST",
    headers,
    body: text,
  });
  return { status: response.status, text: await response.text() };
}

/** The predictions, or the error. */
async function predictions(model: string, body: unknown, type?: string): Promise<unknown> {
  const { text } = await invoke(model, body, type);
  const answer = JSON.parse(text) as { predictions?: unknown; error?: unknown };
  return answer.predictions ?? answer.error;
}

describe("data frames", () => {
  const wanted = [
    { y: [1, 2], top: 2 },
    { y: [3.5, -4], top: 3.5 },
  ];
  const data = [
    [1, 2],
    [3.5, -4],
  ];

  it.each([
    ["split", { dataframe_split: { columns: ["a", "b"], index: [3, 4], data } }],
    ["split without names", { dataframe_split: { data } }],
    [
      "records",
      {
        dataframe_records: [
          { a: 1, b: 2 },
          { b: -4, a: 3.5 },
        ],
      },
    ],
  ])("%s become the matrix of a model, and records again", async (_, body) => {
    expect(await predictions("matrix", body)).toEqual(wanted);
    expect(await predictions("signed", body)).toEqual(wanted);
  });

  it("as CSV too", async () => {
    const csv = "a,b\n1,2\r\n\n3.5,-4";
    expect(await predictions("matrix", csv, "text/csv; charset=UTF-8")).toEqual(wanted);
    expect(await predictions("signed", csv, "text/csv")).toEqual(wanted);
  });

  it("give a column to each input, and leave out what the model does not name", async () => {
    const body = { dataframe_records: [{ b: 2, other: "x", a: 1 }] };
    expect(await predictions("sum", body)).toEqual([{ sum: 3, product: 2 }]);
    expect(await predictions("sum", { dataframe_split: { data: [[3, 4]] } })).toEqual([
      { sum: 7, product: 12 },
    ]);
    expect(await predictions("sum", "b,a\n2,1\n", "text/csv")).toEqual([{ sum: 3, product: 2 }]);
  });

  it("have missing values as NaN, answered as null", async () => {
    const none = [{ sum: null, product: null }];
    expect(await predictions("sum", { dataframe_records: [{ a: 1, b: null }] })).toEqual(none);
    expect(await predictions("sum", { dataframe_records: [{ a: 1, b: 2 }, { a: 1 }] })).toEqual([
      { sum: 3, product: 2 },
      ...none,
    ]);
    expect(await predictions("sum", "a,b\n1,NA\n", "text/csv")).toEqual(none);
    expect(await predictions("signed", { dataframe_records: [{ a: 1 }] })).toMatchObject([{ y: [1, null] }]);
    expect(await predictions("signed", "a\n1\n", "text/csv")).toMatchObject([{ y: [1, null] }]);
  });

  it("hold lists, flat or not, for tensors", async () => {
    const image = [
      [
        [1, 2],
        [3, 4],
      ],
    ];
    expect(await predictions("image", { dataframe_records: [{ x: [1, 2, 3, 4] }] })).toEqual([
      { y: image[0] },
    ]);
    expect(await predictions("image", { dataframe_split: { columns: ["any"], data: [[image[0]]] } })).toEqual(
      [{ y: image[0] }],
    );
    expect(await predictions("image", { inputs: image })).toEqual({ y: image });
  });

  it("read the types of CSV by the model", async () => {
    const csv = 'x,other\n"two\nlines, and ""quotes""",1\n007,2\n';
    expect(await predictions("text", csv, "text/csv")).toEqual([
      { y: 'two\nlines, and "quotes"' },
      { y: "007" },
    ]);
    expect(await predictions("bool", "x\nTrue\nfalse\n", "text/csv")).toEqual([{ y: true }, { y: false }]);
    expect(await invoke("long", "x\n9007199254740993\n-1\n", "text/csv")).toMatchObject({
      text: '{"predictions":[{"y":9007199254740993},{"y":-1}]}',
    });
  });
});

describe("arrays", () => {
  it("are one for a model with one input, or a list for each name", async () => {
    const wanted = { y: [[1, 2]], top: [[2]] };
    for (const model of ["matrix", "tensor"]) {
      expect(await predictions(model, { inputs: [[1, 2]] })).toEqual(wanted);
      expect(await predictions(model, { instances: [[1, 2]] })).toEqual(wanted);
    }
    expect(await predictions("matrix", { inputs: { x: [[1, 2]] } })).toEqual(wanted);
    expect(await predictions("sum", { inputs: { a: [1, 2], b: [3, 4] } })).toEqual({
      sum: [4, 6],
      product: [3, 8],
    });
    expect(await predictions("sum", { inputs: { a: 1, b: 3 } })).toEqual({ sum: [4], product: [3] });
    expect(
      await predictions("sum", {
        instances: [
          { a: 1, b: 3 },
          { b: 4, a: 2 },
        ],
      }),
    ).toEqual({ sum: [4, 6], product: [3, 8] });
  });

  it("are a data frame for a signature of columns; data frames are arrays for one of tensors", async () => {
    expect(await predictions("signed", { inputs: { a: [1], b: [2] } })).toEqual([{ y: [1, 2], top: 2 }]);
    expect(await predictions("tensor", { dataframe_split: { data: [[1, 2]] } })).toEqual({
      y: [[1, 2]],
      top: [[2]],
    });
  });

  it("keep every digit of an integer, and what is no number is null", async () => {
    const { text } = await invoke("long", '{"inputs": [[9007199254740993], [-0]]}');
    expect(text).toBe('{"predictions":{"y":[[9007199254740993],[0]]}}');
    expect(await predictions("half", { inputs: [0.5, "NaN"] })).toEqual({ y: [0.5, null] });
  });

  it("pass params on as parameters", async () => {
    expect(await predictions("matrix", { inputs: [[1, 2]], params: { n: 1 } })).toEqual({
      y: [[1, 2]],
      top: [[2]],
    });
  });
});

describe("what is refused", () => {
  const frame = (data: unknown) => ({ dataframe_split: { columns: ["a", "b"], data } });

  it.each([
    ["sum", "{", "The body is not JSON"],
    ["sum", [], "The body must be a JSON object with one of dataframe_split"],
    [
      "sum",
      { columns: [], data: [] },
      "exactly one of dataframe_split, dataframe_records, instances, inputs; it has columns, data",
    ],
    ["sum", { inputs: [], instances: [] }, "exactly one of"],
    ["sum", { dataframe_split: [] }, "dataframe_split must be an object"],
    ["sum", { dataframe_split: { columns: [] } }, "must have data"],
    ["sum", { dataframe_split: { columns: 1, data: [] } }, "columns must be a list"],
    ["sum", { dataframe_split: { data: [], names: [] } }, "takes data, columns and index, not names"],
    ["sum", frame([[1]]), "row 0 is not a list of 2 values"],
    ["sum", { dataframe_records: {} }, "dataframe_records must be a list of objects"],
    ["sum", { dataframe_records: [{ a: 1 }] }, "The model also needs the inputs 'b'"],
    ["sum", { instances: [{ a: 1, b: 1 }, { a: 1 }] }, "instances[1] has no b, which others have"],
    ["sum", { inputs: [1, 2] }, "The model has the inputs 'a', 'b': send an object"],
    ["sum", { inputs: {}, params: [] }, "params must be an object"],
    ["sum", { inputs: {}, params: { a: [] } }, "params: 'a' must be a string, a number or a boolean"],
    ["sum", frame([["x", 1]]), `Input 'a': element 0 is "x", not a number`],
    ["long", { inputs: [[1.5]] }, "Input 'x': element 0 is 1.5, not an integer"],
    ["long", { dataframe_records: [{ x: null }] }, "Input 'x': element 0 is null, not an integer"],
    ["matrix", { inputs: [[1, 2, 3]] }, "shape [1,3] does not fit the model's [-1,2]"],
    ["image", { dataframe_records: [{ x: [1, 2, 3] }] }, "shape [1,3] does not fit the model's [-1,2,2]"],
    ["unknown", { inputs: [1] }, "The inputs of model 'unknown' are not known"],
  ])("%s: %j", async (model, body, message) => {
    const { status, text } = await invoke(model, body);
    expect(status).toBe(400);
    expect(JSON.parse(text).error).toContain(message);
  });

  it.each([
    ["", "The CSV body is empty"],
    ["a,b\n1\n", "CSV row 1 has 1 values, and the header has 2"],
    ['a,b\n1,"2" x\n', "stray quote in row 1"],
    ["a,b\n1,x\n", `element 0 is "x", not a number`],
  ])("CSV %j", async (csv, message) => {
    const { status, text } = await invoke("sum", csv, "text/csv");
    expect(status).toBe(400);
    expect(JSON.parse(text).error).toContain(message);
  });

  it("bytes that are no text", async () => {
    const headers = { "content-type": "text/csv" };
    const body = Buffer.from([0x61, 0x0a, 0xff]);
    const response = await server.request("/models/sum/invocations", { method: "POST", headers, body });
    expect(await response.json()).toEqual({ error: "The CSV body is not UTF-8" });
  });

  it("other media types with 415, unknown models with 404", async () => {
    expect(await invoke("sum", "{}", "application/vnd.apache.parquet")).toMatchObject({ status: 415 });
    expect(await invoke("sum", "{}", "application/json; charset=latin-1")).toMatchObject({ status: 415 });
    expect(await invoke("none", "{}")).toMatchObject({ status: 404 });
  });

  it("/invocations, while there are several models", async () => {
    const { status, body } = await server.post("/invocations", { inputs: [[1, 2]] });
    expect(status).toBe(400);
    expect(body).toMatchObject({
      error: expect.stringMatching(/models bool, half, .*: POST to \/models\/NAME\/invocations/),
    });
  });
});

describe("a server with one model", () => {
  it("answers /invocations, /ping, /health and /version", async () => {
    await using single = await TestRepository.create();
    await single.addSample("iris");
    await using one = await serve(single.root);
    const body = { dataframe_split: { data: [[6.3, 3.4, 5.6, 2.4]] } };
    const answer = await one.post("/invocations", body);
    expect(answer).toMatchObject({
      status: 200,
      body: { predictions: [{ label: 2, probabilities: expect.any(Array) }] },
    });
    const ping = await one.request("/ping");
    expect([ping.status, await ping.text()]).toEqual([200, "\n"]);
    expect(await one.get("/health")).toEqual({ status: 200, body: { status: "ok" } });
    expect(await (await one.request("/version")).text()).toMatch(/^\d+\.\d+\.\d+$/);
  });

  it("says that it has none, and that it is not ready", async () => {
    await using empty = await TestRepository.create();
    await empty.write("bad", { name: "bad", implementation: "onnx", parameters: { uri: "./none.onnx" } });
    await using one = await serve(empty.root);
    expect((await one.request("/ping")).status).toBe(503);
    await empty.remove("bad");
    await using none = await serve(empty.root);
    const { status, body } = await none.post("/invocations", { inputs: [] });
    expect([status, body]).toEqual([400, { error: expect.stringContaining("This server has no model") }]);
  });
});
