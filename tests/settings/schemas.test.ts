import { describe, expect, it } from "vitest";
import { z } from "zod";
import { staleSchemas } from "../../src/cli/schemas.ts";
import { hostExtraSchema } from "../../src/settings/model.ts";
import { modelJsonSchema, serverJsonSchema } from "../../src/settings/schemas.ts";
import { serverSettingsSchema } from "../../src/settings/server.ts";
import { KEYS_WITHOUT_EFFECT } from "../../src/settings/without-effect.ts";

interface Rule {
  readonly if: { readonly allOf: readonly object[] };
  readonly then: {
    readonly properties: { readonly parameters: { readonly properties: { readonly extra: object } } };
  };
}

const rulesOf = (plugins: Parameters<typeof modelJsonSchema>[0]) =>
  modelJsonSchema(plugins).allOf as readonly Rule[];
const extraOf = ({ then }: Rule) => then.properties.parameters.properties.extra;
const plugin = (name: string, ...keys: string[]) => ({
  name,
  options: z.strictObject(Object.fromEntries(keys.map((key) => [key, z.string().optional()]))),
});

describe("JSON Schemas", () => {
  it("are published as the code has them now", async () => {
    expect(await staleSchemas()).toEqual([]);
  });

  it("describe every key of settings.json, its default, and what has no effect", () => {
    const { properties } = serverJsonSchema() as { properties: Record<string, object> };
    const known = [...Object.keys(serverSettingsSchema.shape), ...Object.keys(KEYS_WITHOUT_EFFECT)];
    expect(Object.keys(properties).sort()).toEqual(known.sort());
    expect(properties.drain_timeout).toMatchObject({ type: "string", default: "30s" });
    expect(properties.http_port).toMatchObject({ type: "integer", default: 8080 });
    expect(properties.kafka_enabled).toEqual({ description: expect.stringContaining("has no effect") });
  });

  it("give the options of the runtime that is named, with the host's own", () => {
    const [rule] = rulesOf({ runtimes: [plugin("onnx", "threads")], adapters: [] });
    expect(rule?.if.allOf).toEqual([
      { properties: { implementation: { const: "onnx" } }, required: ["implementation"] },
    ]);
    expect(extraOf(rule!)).toMatchObject({
      properties: { threads: { type: "string" }, source: {}, reload: { enum: ["swap", "recreate"] } },
      additionalProperties: false,
    });
  });

  it("give the options of each adapter where a runtime takes one", () => {
    const adapters = [plugin("echo", "delay"), plugin("openai", "base_url")];
    const rules = rulesOf({ runtimes: [plugin("llm", "framework")], adapters });
    const hostKeys = Object.keys(hostExtraSchema.shape);
    expect(rules).toHaveLength(2);
    const keys = rules.map((rule) =>
      Object.keys((extraOf(rule) as { properties: object }).properties).sort(),
    );
    expect(keys).toEqual([
      [...hostKeys, "delay", "framework"].sort(),
      [...hostKeys, "base_url", "framework"].sort(),
    ]);
  });
});
