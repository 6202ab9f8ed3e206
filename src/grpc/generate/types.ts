/**
 * The declaration file of one proto file. pbjs writes its own, but with every decoded field optional
 * and 64-bit integers as Long; these say what `wire.ts` really gives.
 */
import protobuf from "protobufjs";

const NUMBERS = new Set(["double", "float", "int32", "uint32", "sint32", "fixed32", "sfixed32"]);
const BIGINTS = new Set(["int64", "uint64", "sint64", "fixed64", "sfixed64"]);

/** Whether a type is written for what arrives or for what may be sent. */
type Side = "decoded" | "init";

function scalar(type: string, side: Side): string {
  if (NUMBERS.has(type)) return "number";
  if (BIGINTS.has(type)) return side === "decoded" ? "bigint" : "bigint | number";
  if (type === "bool") return "boolean";
  return type === "bytes" ? "Uint8Array" : type;
}

function element(field: protobuf.Field, side: Side): string {
  const resolved = field.resolvedType;
  if (resolved instanceof protobuf.Enum) return "number";
  if (!resolved) return scalar(field.type, side);
  return `${resolved.fullName.slice(1)}${side === "init" ? ".Init" : ""}`;
}

function isPacked(field: protobuf.Field): boolean {
  return NUMBERS.has(field.type) || BIGINTS.has(field.type);
}

function list(field: protobuf.Field, side: Side): string {
  const type = element(field, side);
  if (side === "decoded") return `${type}[]`;
  return isPacked(field) ? `ArrayLike<${type}>` : `readonly ${type}[]`;
}

function fieldType(field: protobuf.Field, side: Side): string {
  if (field instanceof protobuf.MapField) return `Record<string, ${element(field, side)}>`;
  if (field.repeated) return list(field, side);
  const nullable = field.partOf !== null || field.resolvedType instanceof protobuf.Type;
  return nullable && side === "decoded" ? `${element(field, side)} | null` : element(field, side);
}

function fieldLines(type: protobuf.Type, side: Side, indent: string): string[] {
  return type.fieldsArray.map((field) => {
    const text = fieldType(field, side);
    return side === "decoded"
      ? `${indent}${field.name}: ${text};`
      : `${indent}${field.name}?: ${text} | null;`;
  });
}

function messageLines(type: protobuf.Type, indent: string): string[] {
  const inner = `${indent}  `;
  const name = type.fullName.slice(1);
  return [
    `${indent}class ${type.name} {`,
    `${inner}private constructor();`,
    ...fieldLines(type, "decoded", inner),
    `${inner}static encode(message: ${name}.Init, writer?: protobuf.Writer): protobuf.Writer;`,
    `${inner}static decode(reader: protobuf.Reader | Uint8Array, length?: number): ${name};`,
    `${indent}}`,
    `${indent}namespace ${type.name} {`,
    `${inner}interface Init {`,
    ...fieldLines(type, "init", `${inner}  `),
    `${inner}}`,
    ...type.nestedArray.flatMap((nested) => nestedLines(nested, inner)),
    `${indent}}`,
  ];
}

function enumLines(type: protobuf.Enum, indent: string): string[] {
  const values = Object.entries(type.values).map(([key, value]) => `${indent}  readonly ${key}: ${value};`);
  return [`${indent}const ${type.name}: {`, ...values, `${indent}};`];
}

function nestedLines(item: protobuf.ReflectionObject, indent: string): string[] {
  if (item instanceof protobuf.Type) return messageLines(item, indent);
  if (item instanceof protobuf.Enum) return enumLines(item, indent);
  if (item instanceof protobuf.Service || !(item instanceof protobuf.Namespace)) return [];
  const body = item.nestedArray.flatMap((nested) => nestedLines(nested, `${indent}  `));
  return [`${indent}namespace ${item.name} {`, ...body, `${indent}}`];
}

/** The text of the `.d.ts` for a resolved root. */
export function renderTypes(root: protobuf.Root, banner: string): string {
  const body = root.nestedArray.flatMap((item) => nestedLines(item, ""));
  const exported = body.map((line) => (line.startsWith("namespace ") ? `export ${line}` : line));
  return [banner, 'import type protobuf from "protobufjs/minimal.js";', "", ...exported, ""].join("\n");
}
