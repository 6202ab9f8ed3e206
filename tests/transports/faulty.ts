import { writeFile } from "node:fs/promises";
import { expect } from "vitest";
import type { ErrorCode } from "../../src/contracts/index.ts";
import { arithmetic, identity } from "../support/onnx-graphs.ts";
import { TestRepository } from "../support/server.ts";
import type { Ask, Refusal } from "./asks.ts";
import type { TestTensor } from "./tensors.ts";
import { numberOf, serveTransports, type Transport, type Transports } from "./transports.ts";

/** Throws the error whose code it is sent; `Error` is a fault of the code itself. */
const THROWS = `
  import { CapstanError, textOf } from "capstan";
  export default {
    infer({ inputs: [{ data }] }) {
      const [code] = textOf(data);
      if (code === "Error") throw new Error("a secret of the model's code");
      throw new CapstanError(code, "The model says " + code, { retryAfterMs: 1500 });
    },
  };`;
/** Never answers by itself. */
const WAITS = `export default { infer: (_, { signal }) => new Promise((_, reject) =>
  signal.addEventListener("abort", () => reject(signal.reason))) };`;
/** What a call is told beside the tensors. */
const TOLD = `export default { infer: (_, { priority, deadline }) => ({ outputs: [
  { name: "told", datatype: "BYTES", shape: [1], data: [JSON.stringify({ priority, hurried: deadline !== undefined })] } ] }) };`;

/** Bytes of the largest request, by any transport. */
export const LIMIT = 100_000;

/** A server of models that can be asked for the wrong thing. */
export class Faulty implements AsyncDisposable {
  readonly transports: Transports;
  readonly #repository: TestRepository;

  private constructor(transports: Transports, repository: TestRepository) {
    this.transports = transports;
    this.#repository = repository;
  }

  static async serve(): Promise<Faulty> {
    const repository = await writeModels();
    const limits = { max_body_bytes: LIMIT, grpc_max_message_length: LIMIT };
    const faulty = new Faulty(await serveTransports(repository.root, limits), repository);
    const { status } = await faulty.transports.server.post("/v2/repository/models/gone/unload");
    expect(status).toBe(200);
    return faulty;
  }

  /** Asks by every transport, and gives what each says. */
  refusals(ask: Ask): Promise<(Refusal & { readonly transport: Transport })[]> {
    const { all } = this.transports;
    return Promise.all(
      all.map(async (transport) => ({ transport, ...((await transport.infer(ask)) as Refusal) })),
    );
  }

  /** Fails unless every transport refuses with its own number for `code` and the same message. */
  async expectRefused(ask: Ask, code: ErrorCode, message: RegExp): Promise<void> {
    const given = await this.refusals(ask);
    const shown = given.map(({ transport, number, message }) => [transport.name, number, message]);
    const text = given[0]!.message;
    expect(shown).toEqual(given.map(({ transport }) => [transport.name, numberOf(transport, code), text]));
    expect(text).toMatch(message);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.transports[Symbol.asyncDispose]();
    await this.#repository[Symbol.asyncDispose]();
  }
}

async function writeModels(): Promise<TestRepository> {
  const repository = await TestRepository.create();
  const files = {
    arithmetic: arithmetic(),
    matrix: identity("FP32", ["rows", 4]),
    texts: identity("BYTES", ["n"]),
    broken: Buffer.from("no ONNX file"),
    gone: identity("FP32", ["n"]),
  };
  for (const [name, bytes] of Object.entries(files)) {
    const parameters = { uri: "./model.onnx", version: "3" };
    await repository.write(name, { name, implementation: "onnx", parameters }, bytes);
  }
  for (const [name, code] of Object.entries({ throws: THROWS, waits: WAITS, told: TOLD })) {
    await repository.write(name, { name, implementation: `./${name}.ts` });
    await writeFile(repository.path(name, `${name}.ts`), code);
  }
  return repository;
}

export const fp32 = (
  name: string,
  values: readonly number[],
  shape: readonly number[] = [values.length],
): TestTensor => ({
  name,
  datatype: "FP32",
  shape,
  data: values,
});
export const texts = (...values: string[]): TestTensor => ({
  name: "x",
  datatype: "BYTES",
  shape: [values.length],
  data: values.map((value) => Buffer.from(value)),
});
export const SUM: Ask = { model: "arithmetic", inputs: [fp32("a", [1, 2]), fp32("b", [3, 4])] };
export const MATRIX: Ask = { model: "matrix", inputs: [fp32("x", [1, 2, 3, 4], [1, 4])] };
