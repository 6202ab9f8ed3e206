import { keySchema, roleSchema, rotateSchema } from "../admin/routes.ts";
import type { Operation } from "./operation.ts";

const tag = "Administration";

/** The routes below /admin, by method and route. */
export const ADMINISTRATION: Readonly<Record<string, Operation>> = {
  "GET /admin/models": { tag, summary: "The models, with versions, sources and what went wrong" },
  "GET /admin/keys": { tag, summary: "The keys, without their secrets" },
  "GET /admin/keys/:key": { tag, summary: "One key" },
  "POST /admin/keys": {
    ...{ tag, summary: "Makes a key; this answer alone shows it", body: keySchema },
    example: { role: "user", name: "a notebook", expires: "90d" },
  },
  "POST /admin/keys/:key/rotate": {
    ...{ tag, summary: "Makes its successor; the old key works for as long as they overlap" },
    ...{ body: rotateSchema, example: { overlap: "1d" } },
  },
  "DELETE /admin/keys/:key": { tag, summary: "Revokes a key, and cancels its work" },
  "GET /admin/roles": { tag, summary: "The roles" },
  "POST /admin/roles": {
    ...{ tag, summary: "Makes a role, or changes the one of that name", body: roleSchema },
    example: { name: "user", models: ["iris", "tiny-*"], requestsPerMinute: 60, tokensPerMonth: 1_000_000 },
  },
  "GET /admin/roles/:role": { tag, summary: "A role" },
  "PUT /admin/roles/:role": {
    ...{ tag, summary: "Makes a role, or changes it; limits that are left out are none" },
    ...{ body: roleSchema.omit({ name: true }), example: { models: ["iris"], requestsPerMinute: 60 } },
  },
  "GET /admin/usage": {
    ...{ tag, summary: "Requests and tokens by key, month and model; CSV with format=csv" },
    query: ["month", "key", "model", "format"],
  },
  "GET /admin/log": {
    ...{ tag, summary: "The inference log, the newest first; CSV with format=csv" },
    query: ["limit", "before", "key", "model", "format"],
  },
  "DELETE /admin/cache": {
    ...{ tag, summary: "Removes kept answers: of one model, or all" },
    query: ["model"],
  },
};
