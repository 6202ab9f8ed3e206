import { rename } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { IndexEntry } from "../../src/host/types.ts";
import { eventually } from "../support/eventually.ts";
import { IRIS_ROW, serve, TestRepository, type TestServer } from "../support/server.ts";

let repository: TestRepository;
let server: TestServer | undefined;
beforeEach(async () => {
  repository = await TestRepository.create();
});
afterEach(async () => {
  await server?.[Symbol.asyncDispose]();
  server = undefined;
  await repository[Symbol.asyncDispose]();
});

const iris = { name: "iris", implementation: "onnx", parameters: { uri: "./model.onnx", version: "1" } };
const start = async (settings?: Record<string, unknown>) => {
  server = await serve(repository.root, settings);
  return server;
};
const entries = async (at: TestServer) => (await at.post("/v2/repository/index")).body as IndexEntry[];
const entry = async (at: TestServer, name: string, version = "1") =>
  (await entries(at)).find((each) => each.name === name && each.version === version);
const infer = async (at: TestServer, model = "iris") =>
  (await at.post(`/v2/models/${model}/infer`, IRIS_ROW)).status;

/** Asks without pause until stopped, and gives every status but 200. */
function hammer(at: TestServer): { stop(): Promise<number[]> } {
  let running = true;
  const failures: number[] = [];
  const worker = async () => {
    while (running) {
      const status = await infer(at);
      if (status !== 200) failures.push(status);
    }
  };
  const workers = Promise.all([worker(), worker(), worker()]);
  return {
    async stop() {
      running = false;
      await workers;
      return failures;
    },
  };
}

describe("a repository of folders", () => {
  it("serves a folder dropped in, and stops serving one that is removed", async () => {
    const at = await start();
    expect(await infer(at)).toBe(404);
    await repository.addSample("iris");
    await eventually(async () => (await infer(at)) === 200);
    await repository.remove("iris");
    await eventually(async () => (await infer(at)) === 404);
    expect(await entries(at)).toEqual([]);
  });

  it("replaces a model while requests run, and loses none", async () => {
    await repository.addSample("iris");
    const at = await start();
    const load = hammer(at);
    for (let round = 0; round < 3; round++) {
      await repository.write("iris", { ...iris, platform: `round-${round}` });
      await eventually(async () => {
        const { body } = await at.get("/v2/models/iris");
        return (body as { platform: string }).platform === `round-${round}`;
      });
    }
    expect(await load.stop()).toEqual([]);
  });

  it("keeps serving when a folder breaks, says why, and takes the repaired one", async () => {
    await repository.addSample("iris");
    const at = await start();
    const load = hammer(at);
    await repository.write("iris", '{ "name": "iris", ');
    const broken = await eventually(async () => {
      const found = await entry(at, "iris");
      return found?.reason ? found : undefined;
    });
    expect(broken.state).toBe("READY");
    expect(broken.reason).toMatch(/model-settings\.json.*still serving/);
    await repository.write("iris", { ...iris, platform: "repaired" });
    await eventually(async () => (await entry(at, "iris"))?.reason === "");
    expect(await load.stop()).toEqual([]);
  });

  it("raises the version in one folder without a gap", async () => {
    await repository.addSample("iris");
    const at = await start();
    const load = hammer(at);
    await repository.write("iris", { ...iris, parameters: { ...iris.parameters, version: "2" } });
    await eventually(async () => (await entry(at, "iris", "2"))?.state === "READY");
    await eventually(async () => (await entry(at, "iris", "1")) === undefined);
    expect(await load.stop()).toEqual([]);
  });

  it("keeps the old version when the new one in its folder does not load", async () => {
    await repository.addSample("iris");
    const at = await start();
    await repository.write("iris", { ...iris, parameters: { uri: "./missing.onnx", version: "2" } });
    const failed = await eventually(async () => {
      const found = await entry(at, "iris", "2");
      return found?.state === "UNAVAILABLE" && found.reason.includes("missing.onnx") ? found : undefined;
    });
    expect(failed.reason).toContain("missing.onnx");
    expect(await infer(at)).toBe(200);
  });

  it("moves a folder without a gap", async () => {
    await repository.addSample("iris");
    const at = await start();
    const load = hammer(at);
    await rename(repository.path("iris"), repository.path("moved"));
    await new Promise((resolve) => setTimeout(resolve, 800));
    expect(await load.stop()).toEqual([]);
    expect((await entry(at, "iris"))?.state).toBe("READY");
  });

  it("starts beside a broken folder and tells what is wrong with it", async () => {
    await repository.addSample("iris");
    await repository.write("bad-json", "{ not json");
    await repository.write("bad-runtime", { name: "bad-runtime", implementation: "onxx" });
    await repository.write("bad-file", { ...iris, name: "bad-file" }, Buffer.from("this is no model"));
    await repository.write("bad-option", {
      ...iris,
      name: "bad-option",
      parameters: { uri: "../iris/model.onnx", extra: { intra_op_treads: 2 } },
    });
    const at = await start();
    expect(await infer(at)).toBe(200);
    expect((await at.get("/v2/health/ready")).status).toBe(503);
    const reasons = Object.fromEntries((await entries(at)).map(({ name, reason }) => [name, reason]));
    expect(reasons["bad-json"]).toMatch(/model-settings\.json:1:/);
    expect(reasons["bad-runtime"]).toMatch(/onnx/);
    expect(reasons["bad-file"]).toMatch(/model\.onnx/);
    expect(reasons["bad-option"]).toMatch(/intra_op_threads/);
    expect((await at.post("/v2/models/bad-file/infer", IRIS_ROW)).status).toBe(503);
  });

  it("refuses a model whose own cases do not hold", async () => {
    await repository.addSample("iris");
    const cases = {
      tolerance: { rtol: 1e-4, atol: 1e-5 },
      cases: [
        {
          name: "wrong",
          inputs: IRIS_ROW.inputs,
          outputs: [{ name: "label", shape: [1], datatype: "INT64", data: [7] }],
        },
      ],
    };
    const { writeFile } = await import("node:fs/promises");
    await writeFile(repository.path("iris", "cases.json"), JSON.stringify(cases));
    const at = await start();
    expect((await entry(at, "iris"))?.reason).toMatch(/case 'wrong': output 'label'\[0\] is 2, expected 7/);
  });
});

describe("versions", () => {
  it("serves several side by side and picks the newest by number", async () => {
    for (const version of ["2", "10", "9"]) {
      await repository.addSample("iris", `iris-${version}`, {
        ...iris,
        parameters: { ...iris.parameters, version },
      });
    }
    const at = await start();
    const answer = async (path: string) =>
      ((await at.post(path, IRIS_ROW)).body as { model_version: string }).model_version;
    expect(await answer("/v2/models/iris/infer")).toBe("10");
    expect(await answer("/v2/models/iris/versions/2/infer")).toBe("2");
    expect((await at.get("/v2/models/iris")).body).toMatchObject({ versions: ["2", "9", "10"] });
    const { status, body } = await at.get("/v2/models/iris/versions/3");
    expect(status).toBe(404);
    expect(body).toEqual({ error: "Model 'iris' version '3' is not found; it has 2, 9, 10" });
  });

  it("takes numeric sub-folders as versions", async () => {
    await repository.addSample("iris", "iris/1");
    await repository.addSample("iris", "iris/2");
    const { rm } = await import("node:fs/promises");
    await rm(repository.path("iris", "1", "model-settings.json"));
    await rm(repository.path("iris", "2", "model-settings.json"));
    await repository.write("iris", {
      name: "iris",
      implementation: "onnx",
      parameters: { uri: "./model.onnx" },
    });
    const at = await start();
    expect((await at.get("/v2/models/iris")).body).toMatchObject({ versions: ["1", "2"] });
  });
});

describe("repository calls", () => {
  it("unloads, stays unloaded when the folder changes, and loads again", async () => {
    await repository.addSample("iris");
    const at = await start();
    expect((await at.post("/v2/repository/models/iris/unload")).status).toBe(200);
    expect(await infer(at)).toBe(503);
    expect(await entry(at, "iris")).toMatchObject({ state: "UNAVAILABLE", reason: "unloaded" });
    await repository.write("iris", { ...iris, platform: "changed" });
    await at.post("/v2/repository/index");
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(await infer(at)).toBe(503);
    expect((await at.post("/v2/repository/models/iris/load")).status).toBe(200);
    expect(await infer(at)).toBe(200);
    expect((await at.get("/v2/health/ready")).status).toBe(200);
  });

  it("loads nothing at the start when told so, and is ready", async () => {
    await repository.addSample("iris");
    const at = await start({ load_models_at_startup: false });
    expect((await at.get("/v2/health/ready")).status).toBe(200);
    expect(await infer(at)).toBe(503);
    await at.post("/v2/repository/models/iris/load");
    expect(await infer(at)).toBe(200);
    expect(await at.post("/v2/repository/index", { ready: true })).toMatchObject({
      body: [{ name: "iris" }],
    });
  });

  it("answers 404 for a model that is not there", async () => {
    const at = await start();
    for (const verb of ["load", "unload"]) {
      expect(await at.post(`/v2/repository/models/ghost/${verb}`)).toEqual({
        status: 404,
        body: { error: "Model 'ghost' is not in the repository" },
      });
    }
  });

  it("takes tuning from a config override, and refuses code, files and addresses", async () => {
    await repository.addSample("iris");
    const at = await start();
    const load = (config: unknown) =>
      at.post("/v2/repository/models/iris/load", { parameters: { config: JSON.stringify(config) } });
    const tuned = await load({ max_batch_size: 16, parameters: { extra: { intra_op_threads: 2 } } });
    expect(tuned.status).toBe(200);
    expect((await at.get("/v2/models/iris/config")).body).toMatchObject({ max_batch_size: 16 });
    for (const config of [
      { implementation: "./evil.ts" },
      { parameters: { uri: "/etc/passwd" } },
      { parameters: { extra: { source: { registry: "http://elsewhere" } } } },
    ]) {
      const refused = await load(config);
      expect(refused.status).toBe(403);
      expect((refused.body as { error: string }).error).toMatch(/may not change/);
    }
    expect((await load("no object")).status).toBe(400);
    expect(await infer(at)).toBe(200);
  });
});
