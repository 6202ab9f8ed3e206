import { createHmac, timingSafeEqual } from "node:crypto";
import { CapstanError, invalid } from "../contracts/index.ts";
import { checkAdministrator } from "../host/access.ts";
import { NOTIFY, SIGNATURE } from "./authenticate.ts";
import { readBody } from "./body.ts";
import type { Exchange } from "./exchange.ts";
import { type JsonObject, parseObject } from "./json-body.ts";
import type { Route } from "./route.ts";
import { sendJson } from "./send.ts";
import { modelOf } from "./v2.ts";

/** Which version of a model serves, beyond what V2's repository extension can say. */
export const controlRoutes: Route[] = [
  { method: "GET", path: "/admin/models", guarded: true, handle: details },
  { method: "POST", path: "/v2/models/:model/rollback", guarded: true, handle: rollback },
  { method: "POST", path: "/v2/models/:model/pin", guarded: true, handle: pin },
  { method: "POST", path: "/v2/models/:model/unpin", guarded: true, handle: unpin },
  { method: "POST", path: NOTIFY, handle: notify },
];

function details(x: Exchange): Promise<void> {
  return sendJson(x, 200, { models: x.parts.repository.details() });
}

async function rollback(x: Exchange): Promise<void> {
  await x.parts.repository.rollback(modelOf(x), x.call());
  return sendServed(x);
}

async function pin(x: Exchange): Promise<void> {
  const bytes = await readBody(x.request, x.parts.settings.max_body_bytes);
  const { version } = bytes.length === 0 ? {} : parseObject(bytes);
  if (version !== undefined && typeof version !== "string")
    throw invalid("'version' must be a string", { param: "version" });
  await x.parts.repository.pin(modelOf(x), version, x.call());
  return sendServed(x);
}

async function unpin(x: Exchange): Promise<void> {
  await x.parts.repository.unpin(modelOf(x), x.call());
  return sendServed(x);
}

function sendServed(x: Exchange): Promise<void> {
  const name = modelOf(x);
  const models = x.parts.repository.details().filter((each) => each.name === name);
  return sendJson(x, 200, { models });
}

/** A registry's webhook: signed where there is a secret, else from an administrator. */
async function notify(x: Exchange): Promise<void> {
  const bytes = await readBody(x.request, x.parts.settings.max_body_bytes);
  checkSender(x, bytes);
  const { model, uri } = textFields(parseObject(bytes));
  if (model === undefined && uri === undefined) throw invalid("The body needs 'model' or 'uri'");
  await x.parts.repository.notify({ model, uri });
  return sendJson(x, 202, { noticed: true });
}

/** @throws CapstanError PERMISSION_DENIED */
function checkSender(x: Exchange, body: Buffer): void {
  const secret = x.parts.settings.notify_secret;
  const given = x.header(SIGNATURE);
  if (secret === null || given === undefined) checkAdministrator(x.parts.access, x);
  else if (!isSigned(body, given, secret))
    throw new CapstanError("PERMISSION_DENIED", `The header ${SIGNATURE} does not fit the body`);
}

function isSigned(body: Buffer, given: string, secret: string): boolean {
  const wanted = Buffer.from(`sha256=${createHmac("sha256", secret).update(body).digest("hex")}`);
  // A header may hold what takes more than a byte each.
  const sent = Buffer.from(given);
  return sent.length === wanted.length && timingSafeEqual(sent, wanted);
}

function textFields({ model, uri }: JsonObject) {
  for (const [name, value] of Object.entries({ model, uri })) {
    if (value !== undefined && typeof value !== "string") throw invalid(`'${name}' must be a string`);
  }
  return { model: model as string | undefined, uri: uri as string | undefined };
}
