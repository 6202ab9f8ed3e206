import { mkdir, rename, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Candidate, scanRepository } from "../../src/host/repository.ts";
import { Files } from "../support/files.ts";

let files: Files;
beforeEach(async () => {
  files = await Files.create();
});
afterEach(() => files[Symbol.asyncDispose]());

const scan = (env: Record<string, string> = {}) => scanRepository(files.root, env);
const add = (folder: string, content: string | object = { implementation: "onnx" }) =>
  files.write(`${folder}/model-settings.json`.replace(/^\//, ""), content);
const identities = (candidates: readonly Candidate[]) =>
  candidates.map(({ key, name, version, error }) => [key, name, version, error === undefined]);
const only = async (env: Record<string, string> = {}) => {
  const found = await scan(env);
  expect(found).toHaveLength(1);
  return found[0]!;
};

describe("what a scan finds", () => {
  it("is every folder with settings at any depth, in order of path", async () => {
    await add("b/deep/er");
    await add("b");
    await add("a", { name: "named", implementation: "onnx", parameters: { version: "7" } });
    await add("node_modules/x");
    await add(".hidden/x");
    await files.write("plain/readme.md", "");
    expect(identities(await scan())).toEqual([
      ["a", "named", "7", true],
      ["b", "b", "1", true],
      ["b/deep/er", "er", "1", true],
    ]);
  });

  it("is the root itself, too", async () => {
    const file = await add("");
    const found = await only();
    expect(found).toMatchObject({ key: "", folder: files.root, file, name: basename(files.root) });
  });

  it("is nothing in an empty folder, and an error without a folder", async () => {
    expect(await scan()).toEqual([]);
    await expect(scanRepository(files.path("none"), {})).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  it("keeps what was written for showing, and problems that are no errors", async () => {
    await add("a", { implementation: "onnx", extra_key: 1, parameters: { extra: { key: "${KEY}" } } });
    const found = await only({ KEY: "secret" });
    expect(found.settings?.parameters.extra).toEqual({ key: "secret" });
    expect(found.raw).toMatchObject({ parameters: { extra: { key: "${KEY}" } } });
    expect(found.problems).toMatchObject([{ key: "extra_key", severity: "warning" }]);
  });

  it("has MLServer's names replaced", async () => {
    await add("a", { implementation: "mlserver_onnx.OnnxModel" });
    await add("b", {
      implementation: "mlserver_sklearn.SKLearnModel",
      parameters: { uri: "./model.joblib" },
    });
    const [a, b] = await scan();
    expect(a?.settings?.implementation).toBe("onnx");
    expect(b?.error?.message).toMatch(/^b\/model-settings.json:1:2 implementation: .*skl2onnx/);
  });
});

describe("links", () => {
  it("are followed, and never round in a circle", async () => {
    await add("real/model");
    await symlink(files.root, files.path("real/up"));
    await symlink(files.path("real/model"), files.path("alias"));
    await symlink(files.path("gone"), files.path("dangling"));
    await symlink(files.path("real/model"), files.path("real/model/self"));
    expect(identities(await scan())).toEqual([
      ["alias", "alias", "1", true],
      ["real/model", "model", "1", true],
    ]);
  });

  it("may be how Kubernetes mounts the settings", async () => {
    await files.write("cm/..data_1/model-settings.json", { implementation: "onnx" });
    await symlink("..data_1", files.path("cm/..data"));
    await symlink("..data/model-settings.json", files.path("cm/model-settings.json"));
    const before = await only();
    await files.write("cm/..data_2/model-settings.json", { implementation: "onnx" });
    await symlink("..data_2", files.path("cm/..data_tmp"));
    await rename(files.path("cm/..data_tmp"), files.path("cm/..data"));
    expect((await only()).fingerprint).not.toBe(before.fingerprint);
  });
});

describe("versions", () => {
  it("are folders of one name, or numeric sub-folders with the artifact in each", async () => {
    await add("v1", { name: "m", implementation: "onnx", parameters: { version: "1" } });
    await add("v2", { name: "m", implementation: "onnx", parameters: { version: "2" } });
    await add("n", { implementation: "onnx", parameters: { uri: "./model.onnx" } });
    await files.write("n/10/model.onnx", "");
    await files.write("n/9/model.onnx", "");
    await files.write("n/data/model.onnx", "");
    const found = await scan();
    expect(identities(found)).toEqual([
      ["n/10", "n", "10", true],
      ["n/9", "n", "9", true],
      ["v1", "m", "1", true],
      ["v2", "m", "2", true],
    ]);
    expect(found[0]).toMatchObject({
      folder: files.path("n"),
      settings: { parameters: { uri: "./10/model.onnx", version: "10" } },
    });
  });

  it("take the sub-folder itself where there is no uri", async () => {
    await add("n");
    await files.write("n/3/model.onnx", "");
    expect((await only()).settings?.parameters).toMatchObject({ uri: "./3", version: "3" });
  });

  it.each([{ version: "1" }, { uri: "models:/iris@champion" }, { uri: "/mnt/models" }])(
    "are not looked for in sub-folders with %j",
    async (parameters) => {
      await add("n", { implementation: "onnx", parameters });
      await files.write("n/3/x", "");
      expect(await only()).toMatchObject({ key: "n", version: "1" });
    },
  );

  it("are not sub-folders with settings of their own", async () => {
    await add("m", { implementation: "onnx" });
    await add("m/1", { name: "m", implementation: "onnx", parameters: { version: "5" } });
    expect(identities(await scan())).toEqual([
      ["m", "m", "1", true],
      ["m/1", "m", "5", true],
    ]);
  });

  it("stay apart when the file breaks", async () => {
    await add("n", '{ "name": "m", "implementation": ');
    await files.write("n/3/x", "");
    await files.write("n/4/x", "");
    expect(identities(await scan())).toEqual([
      ["n/3", "m", "3", false],
      ["n/4", "m", "4", false],
    ]);
  });
});

describe("a folder that cannot be used", () => {
  it("is an error of its own and stops no other", async () => {
    await add("bad", "{ not json");
    await add("good");
    const found = await scan();
    expect(identities(found)).toEqual([
      ["bad", "bad", "1", false],
      ["good", "good", "1", true],
    ]);
    expect(found[0]).toMatchObject({ error: { code: "LOAD_FAILED" } });
    expect(found[0]?.settings).toBeUndefined();
    expect(found[0]?.error?.message).toMatch(/^bad\/model-settings.json:1:3: is not JSON/);
  });

  it.each(["..", ".", "a/b", "a\\b", "a\nb", "x".repeat(257)])("has the name %j", async (name) => {
    await add("folder", { name, implementation: "onnx" });
    const found = await only();
    expect(found.name).toBe("folder");
    expect(found.error?.message).toContain("name: must");
  });

  it("has a name whose variable is missing", async () => {
    await add("folder", { name: "${NAME}", implementation: "onnx" });
    expect(await only()).toMatchObject({ name: "folder", error: { code: "LOAD_FAILED" } });
    expect((await only({ NAME: "iris" })).name).toBe("iris");
  });

  it("has a version that is no name", async () => {
    await add("folder", { implementation: "onnx", parameters: { version: "../1" } });
    expect((await only()).error?.message).toContain("parameters.version: must not contain");
  });

  it("has a model version that another has: the first counts", async () => {
    await add("a", { name: "m", implementation: "onnx" });
    await add("b", { name: "m", implementation: "onnx" });
    const [first, second] = await scan();
    expect([first?.error, second?.settings]).toEqual([undefined, undefined]);
    expect(second).toMatchObject({ name: "m", problems: [{ severity: "error" }] });
    expect(second?.error?.message).toContain("is in a/model-settings.json already");
  });
});

describe("variables", () => {
  const env = {
    MLSERVER_MODEL_NAME: "from-env",
    MLSERVER_MODEL_URI: "/mnt/models",
    MLSERVER_MODEL_IMPLEMENTATION: "onnx",
  };

  it("stand for a whole model where there are no settings, as KServe sets them", async () => {
    expect(await only(env)).toMatchObject({
      key: "",
      name: "from-env",
      folder: files.root,
      settings: { implementation: "onnx", parameters: { uri: "/mnt/models" } },
    });
  });

  it("name the only model, and not one of several", async () => {
    await add("a");
    expect(await only(env)).toMatchObject({
      name: "from-env",
      settings: { parameters: { uri: "/mnt/models" } },
    });
    await add("b", {});
    const found = await scan(env);
    expect(identities(found).map(([, name]) => name)).toEqual(["a", "b"]);
    expect(found[1]?.settings).toMatchObject({ implementation: "onnx", parameters: {} });
  });
});

describe("the fingerprint", () => {
  const fingerprint = async () => (await only()).fingerprint;

  /** Runs each change and expects a fingerprint not seen before. */
  async function changes(...steps: (() => Promise<unknown>)[]): Promise<void> {
    const seen = [await fingerprint()];
    expect(await fingerprint()).toBe(seen[0]);
    for (const step of steps) {
      await step();
      seen.push(await fingerprint());
    }
    expect(new Set(seen).size).toBe(steps.length + 1);
  }

  it("changes with the settings", async () => {
    const file = await add("m");
    await changes(
      () => add("m", { implementation: "onnx", max_batch_size: 1 }),
      () => utimes(file, 1, 1),
    );
  });

  it("changes with the artifact: written, replaced by one of the same size and time, removed", async () => {
    await add("m", { implementation: "onnx", parameters: { uri: "./model.onnx" } });
    const artifact = await files.write("m/model.onnx", "1");
    await changes(
      () => writeFile(artifact, "22"),
      () => utimes(artifact, 5, 5),
      async () => {
        await writeFile(`${artifact}.new`, "33");
        await utimes(`${artifact}.new`, 5, 5);
        await rename(`${artifact}.new`, artifact);
      },
      () => rm(artifact),
    );
  });

  it("changes with any file of an artifact folder, and of a file uri", async () => {
    await add("m", { implementation: "onnx", parameters: { uri: `file://${files.path("artifact")}` } });
    await mkdir(files.path("artifact/sub"), { recursive: true });
    await symlink(files.path("artifact"), files.path("artifact/sub/loop"));
    await changes(
      () => files.write("artifact/sub/a.bin", "1"),
      () => files.write("artifact/sub/b.bin", "1"),
      () => rm(files.path("artifact/sub"), { recursive: true }),
    );
  });

  it("changes with the code of a module, and not with other files", async () => {
    await add("m", { implementation: "./scorer.ts" });
    await files.write("m/scorer.ts", "1");
    const before = await fingerprint();
    await files.write("m/notes.txt", "1");
    expect(await fingerprint()).toBe(before);
    await files.write("m/scorer.ts", "22");
    expect(await fingerprint()).not.toBe(before);
  });

  it("does not look behind a registry", async () => {
    await add("m", { implementation: "onnx", parameters: { uri: "models:/iris@champion" } });
    expect(await fingerprint()).toBe(await fingerprint());
  });
});
