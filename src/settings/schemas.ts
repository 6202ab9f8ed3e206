import { z } from "zod";
import type { OptionsSchema } from "../contracts/index.ts";
import { hostExtraSchema, modelSettingsSchema } from "./model.ts";
import { serverSettingsSchema } from "./server.ts";
import { KEYS_WITHOUT_EFFECT } from "./without-effect.ts";

/** The part of a plugin that its settings depend on. */
export interface PluginOptions {
  readonly name: string;
  readonly options: OptionsSchema<unknown>;
}

export interface PluginsWithOptions {
  readonly runtimes: readonly PluginOptions[];
  readonly adapters: readonly PluginOptions[];
}

type JsonSchema = Record<string, unknown>;

/** The draft that editors complete from. */
const TARGET = "draft-07";

function jsonSchema(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { io: "input", target: TARGET, unrepresentable: "any" }) as JsonSchema;
}

/** JSON Schema of settings.json. */
export function serverJsonSchema(): JsonSchema {
  const schema = jsonSchema(serverSettingsSchema);
  const later = Object.entries(KEYS_WITHOUT_EFFECT).map(([key, message]) => {
    return [key, { description: `This key ${message}.` }];
  });
  const properties = { ...(schema.properties as JsonSchema), ...Object.fromEntries(later) };
  return { ...schema, title: "Server settings (settings.json)", properties };
}

/** JSON Schema of model-settings.json, with the options of each plugin where it is the one named. */
export function modelJsonSchema(plugins: PluginsWithOptions): JsonSchema {
  return {
    ...jsonSchema(modelSettingsSchema),
    title: "Model settings (model-settings.json)",
    allOf: plugins.runtimes.flatMap((runtime) => rulesOf(runtime, plugins.adapters)),
  };
}

/** A runtime with an option `framework` also takes the options of the adapter that it names. */
function rulesOf(runtime: PluginOptions, adapters: readonly PluginOptions[]): JsonSchema[] {
  const own = optionProperties(runtime);
  const implementation = {
    properties: { implementation: { const: runtime.name } },
    required: ["implementation"],
  };
  if (!Object.hasOwn(runtime.options.shape, "framework")) return [rule([implementation], own)];
  return adapters.map((adapter) => {
    return rule([implementation, namesFramework(adapter.name)], { ...own, ...optionProperties(adapter) });
  });
}

function rule(conditions: readonly JsonSchema[], options: JsonSchema): JsonSchema {
  const host = jsonSchema(hostExtraSchema).properties as JsonSchema;
  const extra = { type: "object", properties: { ...host, ...options }, additionalProperties: false };
  return {
    if: { allOf: conditions },
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    then: { properties: { parameters: { properties: { extra } } } },
  };
}

function namesFramework(name: string): JsonSchema {
  const framework = { properties: { framework: { const: name } }, required: ["framework"] };
  const inExtra = { properties: { extra: framework }, required: ["extra"] };
  return { anyOf: [framework, { properties: { parameters: inExtra }, required: ["parameters"] }] };
}

/** Options are zod schemas; the contract names only what the host needs of them. */
function optionProperties({ options }: PluginOptions): JsonSchema {
  return jsonSchema(options as unknown as z.ZodType).properties as JsonSchema;
}
