import type { z } from "zod";
import { CapstanError, invalid } from "../contracts/index.ts";
import { readBody } from "./body.ts";
import type { Exchange } from "./exchange.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * The request's body, which must be a JSON object.
 * @throws CapstanError UNSUPPORTED_MEDIA, INVALID_ARGUMENT, and those of {@link readBody}.
 */
export async function readJsonObject(x: Exchange): Promise<JsonObject> {
  checkJsonType(x.header("content-type"));
  return parseObject(await readBody(x.request, x.parts.settings.max_body_bytes));
}

/** A request without a type is taken by what it holds. */
export function checkJsonType(header: string | undefined): void {
  if (header === "application/json") return;
  const type = header?.split(";", 1).join("").trim().toLowerCase();
  if (type === undefined || type === "application/json" || type.endsWith("+json")) return;
  throw new CapstanError(
    "UNSUPPORTED_MEDIA",
    `Content-Type '${type}' is not served here: send application/json`,
  );
}

/** @throws CapstanError INVALID_ARGUMENT */
export function parseObject(body: Buffer): JsonObject {
  const value = parse(body.toString("utf8"));
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw invalid("The body must be a JSON object");
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw invalid(`The body is not JSON: ${(cause as Error).message}`, { cause });
  }
}

/**
 * A body whose fields have the types of `schema`.
 * @throws CapstanError INVALID_ARGUMENT about the first field that has not, which is its `param`.
 */
export function checkFields<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const param = issue.path.reduce<string>(fieldPath, "");
  throw invalid(`'${param}': ${issue.message.replace(/^Invalid [a-z]+: /, "")}`, { param });
}

/** `messages[0].content` */
function fieldPath(path: string, key: PropertyKey): string {
  if (typeof key === "number") return `${path}[${key}]`;
  return path === "" ? String(key) : `${path}.${String(key)}`;
}
