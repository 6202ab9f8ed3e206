import { z } from "zod";
import { CapstanError } from "../../contracts/index.ts";
import type { Administration, UsageView } from "../../host/administration.ts";
import { age } from "../../settings/fields.ts";
import type { Exchange } from "../exchange.ts";
import { checkFields, readJsonObject } from "../json-body.ts";
import type { Route } from "../route.ts";
import { optional, text, truth, whole } from "../sampling.ts";
import { sendJson } from "../send.ts";
import { csvOf } from "./csv.ts";
import { Query, sendRows, wantsCsv } from "./query.ts";

/** Keys, roles and usage, for administrators. */
export const adminRoutes: Route[] = [
  {
    method: "GET",
    path: "/admin/keys",
    guarded: true,
    handle: async (x) => sendJson(x, 200, { keys: await of(x).keys() }),
  },
  { method: "POST", path: "/admin/keys", guarded: true, handle: createKey },
  {
    method: "GET",
    path: "/admin/keys/:key",
    guarded: true,
    handle: async (x) => sendJson(x, 200, await of(x).key(x.params.key!)),
  },
  { method: "POST", path: "/admin/keys/:key/rotate", guarded: true, handle: rotate },
  { method: "DELETE", path: "/admin/keys/:key", guarded: true, handle: revoke },
  {
    method: "GET",
    path: "/admin/roles",
    guarded: true,
    handle: async (x) => sendJson(x, 200, { roles: await of(x).roles() }),
  },
  { method: "POST", path: "/admin/roles", guarded: true, handle: setRole },
  {
    method: "GET",
    path: "/admin/roles/:role",
    guarded: true,
    handle: async (x) => sendJson(x, 200, await roleOf(x)),
  },
  { method: "PUT", path: "/admin/roles/:role", guarded: true, handle: putRole },
  { method: "GET", path: "/admin/usage", guarded: true, handle: usage },
];

/** @throws CapstanError UNSUPPORTED on a server without access control. */
function of({ parts }: Exchange): Administration {
  if (parts.administration !== undefined) return parts.administration;
  throw new CapstanError("UNSUPPORTED", "This server has no keys: set auth.enabled in settings.json");
}

const lifetime = age();
export const keySchema = z.strictObject({
  role: text().min(1, "must not be empty"),
  name: optional(text()),
  expires: optional(lifetime),
});

async function createKey(x: Exchange): Promise<void> {
  const { role, name = null, expires } = checkFields(keySchema, await readJsonObject(x));
  const expiresAt = expires === undefined ? null : Date.now() + expires;
  return sendJson(x, 201, await of(x).createKey(role, { name, expiresAt }));
}

export const rotateSchema = z.strictObject({ overlap: optional(lifetime) });
const DEFAULT_OVERLAP_MS = 24 * 60 * 60 * 1000;

async function rotate(x: Exchange): Promise<void> {
  const { overlap = DEFAULT_OVERLAP_MS } = checkFields(rotateSchema, await readJsonObject(x));
  return sendJson(x, 201, await of(x).rotate(x.params.key!, overlap));
}

async function revoke(x: Exchange): Promise<void> {
  await of(x).revoke(x.params.key!);
  return sendJson(x, 200, { id: x.params.key, revoked: true });
}

const limit = () =>
  whole()
    .min(0, "must be 0 or more")
    .nullish()
    .transform((value) => value ?? null);
export const roleSchema = z.strictObject({
  name: text().min(1, "must not be empty"),
  models: z.array(text(), "must be a list of globs").default(["*"]),
  requestsPerMinute: limit(),
  tokensPerMinute: limit(),
  concurrency: limit(),
  requestsPerMonth: limit(),
  tokensPerMonth: limit(),
  maxTokens: limit(),
  admin: truth().default(false),
});

async function setRole(x: Exchange): Promise<void> {
  const role = checkFields(roleSchema, await readJsonObject(x));
  await of(x).setRole(role);
  return sendJson(x, 200, role);
}

async function roleOf(x: Exchange) {
  const name = x.params.role!;
  const role = (await of(x).roles()).find((each) => each.name === name);
  if (role === undefined) throw new CapstanError("NOT_FOUND", `There is no role '${name}'`);
  return role;
}

/** The name stands in the path; a limit that is not in the body is none. */
async function putRole(x: Exchange): Promise<void> {
  const role = checkFields(roleSchema, { ...(await readJsonObject(x)), name: x.params.role });
  await of(x).setRole(role);
  return sendJson(x, 200, role);
}

async function usage(x: Exchange): Promise<void> {
  const query = new Query(x);
  const asCsv = wantsCsv(x, query);
  const [month, key, model] = [query.month("month"), query.text("key"), query.text("model")];
  const rows = await of(x).usage({
    ...(month === undefined ? {} : { month }),
    ...(key === undefined ? {} : { key }),
    ...(model === undefined ? {} : { model }),
  });
  return sendRows(x, "usage", rows, COLUMNS, asCsv);
}

const COLUMNS = ["key_id", "month", "model", "requests", "input_tokens", "output_tokens"] as const;

export const usageCsv = (rows: readonly UsageView[]): string => csvOf(COLUMNS, rows as never);
