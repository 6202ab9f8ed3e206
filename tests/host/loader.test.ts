import { describe, expect, it } from "vitest";
import { serve, TestRepository } from "../support/server.ts";

/** A model that asks the host for another one at each request, long after it was loaded. */
const CALLER = `
import { defineRuntime, textTensor } from "capstan";
import { z } from "zod";
export default defineRuntime({
  name: "caller",
  options: z.looseObject({}),
  async load(model, options, host) {
    return {
      infer: (request, call) => host.model("callee").infer(request, call),
      async [Symbol.asyncDispose]() {},
    };
  },
});`;
const CALLEE = "export default (request) => ({ outputs: request.inputs });";

describe("a plugin", () => {
  it("may ask for another model at any time of its life", async () => {
    await using repository = await TestRepository.create();
    const { mkdir, writeFile } = await import("node:fs/promises");
    for (const [name, code] of Object.entries({ caller: CALLER, callee: CALLEE })) {
      await mkdir(repository.path(name));
      await writeFile(repository.path(name, "model.ts"), code);
      await repository.write(name, { name, implementation: "./model.ts" });
    }
    await using server = await serve(repository.root);
    const inputs = [{ name: "x", shape: [1], datatype: "BYTES", data: ["hello"] }];
    for (let round = 0; round < 2; round++) {
      const { body } = await server.post("/v2/models/caller/infer", { inputs });
      expect(body).toMatchObject({ model_name: "caller", outputs: [{ name: "x", data: ["hello"] }] });
    }
  });
});
