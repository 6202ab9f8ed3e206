import { describe, expect, it } from "vitest";
import { z } from "zod";
import { isCapstanError } from "../../src/contracts/index.ts";
import { composeOptions, type OptionsOwner, parseOptions, splitExtra } from "../../src/host/options.ts";
import { builtInNames, loadPlugin } from "../../src/host/plugins.ts";
import { hostExtraSchema, modelSettingsSchema } from "../../src/settings/model.ts";

const schema = z.strictObject({
  threads: z.int().min(1).default(1),
  device: z.enum(["cpu", "cuda"]).default("cpu"),
  upstream: z.strictObject({ base_url: z.string().default("x") }).prefault({}),
});

describe("parseOptions", () => {
  it("fills defaults in, also for options that are absent", () => {
    const defaults = { threads: 1, device: "cpu", upstream: { base_url: "x" } };
    expect(parseOptions(schema, undefined, "here")).toEqual(defaults);
    expect(parseOptions(schema, { threads: 2 }, "here")).toEqual({ ...defaults, threads: 2 });
  });

  it("lists every fault with its key, and the nearest key of an unknown one", () => {
    const options = { thread: 2, device: "tpu", upstream: { base_ulr: "y" } };
    const parse = () => parseOptions(schema, options, "iris/model-settings.json: parameters.extra");
    expect(parse).toThrow(/^iris\/model-settings.json: parameters.extra: /);
    expect(parse).toThrow('thread: unknown key; did you mean "threads"?');
    expect(parse).toThrow('device: expected one of "cpu"|"cuda"');
    expect(parse).toThrow('upstream.base_ulr: unknown key; did you mean "base_url"?');
  });

  it("throws LOAD_FAILED, or the code it is given", () => {
    const codeOf = (run: () => unknown) => {
      try {
        return run();
      } catch (error) {
        return isCapstanError(error) ? error.code : error;
      }
    };
    expect(codeOf(() => parseOptions(schema, 3, "x"))).toBe("LOAD_FAILED");
    expect(codeOf(() => parseOptions(schema, { a: 1 }, "x", "INVALID_ARGUMENT"))).toBe("INVALID_ARGUMENT");
  });
});

describe("composeOptions", () => {
  const adapter = z.strictObject({ delay_ms: z.number().default(0) });
  const owners: OptionsOwner[] = [
    { owner: "runtime", schema },
    { owner: "adapter", schema: adapter },
  ];

  it("gives each owner its keys, with defaults", () => {
    const parsed = parseOptions(composeOptions(owners), { delay_ms: 5, threads: 3 }, "x");
    expect(parsed).toEqual({
      runtime: { threads: 3, device: "cpu", upstream: { base_url: "x" } },
      adapter: { delay_ms: 5 },
    });
  });

  it("refuses a key that nobody owns, with the nearest of all owners", () => {
    const parse = () => parseOptions(composeOptions(owners), { delayms: 5, threads: "many" }, "x");
    expect(parse).toThrow('x: delayms: unknown key; did you mean "delay_ms"?; threads: expected');
  });

  it("refuses two owners of one key", () => {
    const again = { owner: "other", schema: z.strictObject({ threads: z.int() }) };
    expect(() => composeOptions([...owners, again])).toThrow(
      "Both runtime and other have an option 'threads'",
    );
  });
});

describe("the plugins of this server", () => {
  const optionsOf = async (kind: "runtime" | "adapter"): Promise<OptionsOwner[]> => {
    const plugins = (await builtInNames(kind)).map((name) => loadPlugin(kind, name, "."));
    return (await Promise.all(plugins)).map(({ name, options }) => ({
      owner: `${kind} ${name}`,
      schema: options,
    }));
  };
  const host: OptionsOwner[] = [{ owner: "host", schema: hostExtraSchema }];

  it("share no option with the host, nor a runtime that takes a framework with an adapter", async () => {
    const runtimes = await optionsOf("runtime");
    const adapters = await optionsOf("adapter");
    expect(runtimes.length).toBeGreaterThan(0);
    expect(adapters.length).toBeGreaterThan(0);
    for (const owner of [...runtimes, ...adapters]) composeOptions([...host, owner]);
    for (const runtime of runtimes.filter((each) => Object.hasOwn(each.schema.shape, "framework"))) {
      for (const adapter of adapters) composeOptions([...host, runtime, adapter]);
    }
  });
});

describe("splitExtra", () => {
  const extraOf = (extra: object) =>
    modelSettingsSchema.parse({ implementation: "x", parameters: { extra } }).parameters.extra;

  it("takes the host's keys out, and out of source what the resolver does not read", () => {
    const source = { registry: "http://r", poll: "5s", trust_code: true, region: "eu" };
    expect(splitExtra(extraOf({ source, reload: "recreate", threads: 2 }))).toEqual({
      source: { registry: "http://r", region: "eu" },
      reload: "recreate",
      options: { threads: 2 },
    });
    expect(splitExtra(extraOf({}))).toEqual({ source: {}, reload: "swap", options: {} });
  });
});
