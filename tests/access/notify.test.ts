import { createHmac } from "node:crypto";
import { expect, it } from "vitest";
import { ADMIN, bearer, modelsForKeys, TestAccess } from "../support/access.ts";

const BODY = JSON.stringify({ model: "iris" });
const signed = (secret: string) => ({
  "x-capstan-signature": `sha256=${createHmac("sha256", secret).update(BODY).digest("hex")}`,
});

it.each([
  ["the open routes of the default", {}],
  ["a list of open routes", { open: ["/metrics"] }],
  ["a list that names it", { open: ["/v2/repository/notify"] }],
])("a registry's call needs a signature or an administrator's key, with %s", async (_, auth) => {
  await using repository = await modelsForKeys();
  const database_url = `sqlite:${repository.path("notify.db")}`;
  const settings = { auth: { enabled: true, database_url, ...auth }, notify_secret: "s3cret" };
  await using access = await TestAccess.start(repository.root, database_url, settings);
  const { key } = await access.keyWith({});
  const statusOf = async (headers: Record<string, string>) =>
    (await access.server.request("/v2/repository/notify", { method: "POST", body: BODY, headers })).status;
  expect(await statusOf({})).toBe(401);
  expect(await statusOf(bearer(key))).toBe(403);
  expect(await statusOf(signed("wrong"))).toBe(403);
  // Nothing of this server comes from a registry: who gets so far may ask.
  expect(await statusOf(signed("s3cret"))).toBe(404);
  expect(await statusOf(bearer(ADMIN))).toBe(404);
});

it("a refusal for want of a key says which scheme is taken", async () => {
  await using repository = await modelsForKeys();
  await using access = await TestAccess.start(repository.root, `sqlite:${repository.path("scheme.db")}`);
  const refused = await access.server.request("/v1/models");
  expect([refused.status, refused.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
});
