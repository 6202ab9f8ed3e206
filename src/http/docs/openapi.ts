import { z } from "zod";
import type { ServerMetadata } from "../../host/types.ts";
import type { Route } from "../route.ts";
import type { Operation } from "./operation.ts";
import { NOT_SHOWN, operationOf, TAGS } from "./operations.ts";

type JsonObject = Record<string, unknown>;

const OPENAPI = "3.1.0";

const DESCRIPTION =
  "Where access control is on, a key goes into `Authorization: Bearer` or `X-API-Key`. Every answer has an " +
  "`x-request-id`. Errors are JSON with what was wrong and what to do.";

/** The description of a whole server, from its own table of routes. */
export function serverDocument(routes: readonly Route[], server: ServerMetadata, root: string): JsonObject {
  const paths: Record<string, JsonObject> = {};
  for (const route of routes) {
    if (NOT_SHOWN.some((part) => route.path.includes(part))) continue;
    const path = pathOf(route.path);
    const operation = describe(route, operationOf(route.method, route.path));
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation };
  }
  return { ...document(server, root, paths), tags: usedTags(paths) };
}

/** In the order in which the pages show them. */
function usedTags(paths: Readonly<Record<string, JsonObject>>): JsonObject[] {
  const operations = Object.values(paths).flatMap((methods) => Object.values(methods)) as {
    tags: string[];
  }[];
  const used = new Set(operations.flatMap(({ tags }) => tags));
  return Object.entries(TAGS).flatMap(([name, description]) =>
    used.has(name) ? [{ name, description }] : [],
  );
}

/** @param paths as OpenAPI has them, without the server's prefix. */
export function document(
  server: ServerMetadata,
  root: string,
  paths: object,
  title = server.name,
): JsonObject {
  return {
    openapi: OPENAPI,
    info: { title, version: server.version, description: DESCRIPTION },
    servers: [{ url: root === "" ? "/" : root }],
    components: {
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer" },
        key: { type: "apiKey", in: "header", name: "X-API-Key" },
      },
    },
    security: [{}, { bearer: [] }, { key: [] }],
    paths,
  };
}

/** `/v2/models/{model}` of `/v2/models/:model`. */
const pathOf = (path: string) => path.replace(/:(\w+)(\{[^}]*\})?/g, "{$1}");

function describe({ method, path, guarded }: Route, operation: Operation): JsonObject {
  const { tag, summary, body, example, takes, query, answers } = operation;
  const parameters = [...path.matchAll(/:(\w+)/g)].map(([, name]) => {
    return { name, in: "path", required: true, schema: { type: "string" } };
  });
  const media = answers ?? "application/json";
  return {
    tags: [tag],
    summary,
    ...(guarded ? { description: GUARDED } : {}),
    operationId: `${method.toLowerCase()}${path.replace(/[^A-Za-z0-9]+/g, "-")}`,
    parameters: [...parameters, ...(query ?? []).map(queryParameter)],
    ...(body === undefined ? {} : { requestBody: requestBody(schemaOf(body), example, takes) }),
    responses: {
      "200": { description: "The answer", content: { [media]: {} } },
      default: { description: "An error, with what was wrong and what to do" },
    },
  };
}

const GUARDED = "For administrators; without access control for programs on the server's own machine.";

const queryParameter = (name: string) => ({ name, in: "query", schema: { type: "string" } });

/** @param media type of the body. */
export function requestBody(schema: unknown, example?: unknown, media = "application/json"): JsonObject {
  return { content: { [media]: { schema, ...(example === undefined ? {} : { example }) } } };
}

/** The schema that checks a body, as JSON Schema. */
function schemaOf(body: NonNullable<Operation["body"]>): unknown {
  if (!(body instanceof z.ZodType)) return body;
  const { $schema: _, ...schema } = z.toJSONSchema(body, {
    io: "input",
    target: "draft-2020-12",
    unrepresentable: "any",
  });
  return schema;
}
