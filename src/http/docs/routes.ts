import type { Exchange } from "../exchange.ts";
import type { Route } from "../route.ts";
import { sendBytes, sendJson } from "../send.ts";
import { modelOf } from "../v2.ts";
import { readAsset } from "./assets.ts";
import { modelDocument } from "./model-document.ts";
import { serverDocument } from "./openapi.ts";
import { redocPage, swaggerPage } from "./pages.ts";

/** A day: the files change with the version of the server only. */
const CACHE = "public, max-age=86400";

/**
 * The API pages, and the OpenAPI documents behind them. Everything comes from this server: no other host is asked.
 * @param routes all routes of the server, asked when a document is wanted.
 */
export function docsRoutes(routes: () => readonly Route[]): Route[] {
  return [
    { method: "GET", path: "/openapi.json", handle: (x) => sendJson(x, 200, describeServer(x, routes())) },
    { method: "GET", path: "/docs", handle: (x) => serverPage(x, swaggerPage) },
    { method: "GET", path: "/v2/docs", handle: (x) => serverPage(x, swaggerPage) },
    { method: "GET", path: "/redoc", handle: (x) => serverPage(x, redocPage) },
    { method: "GET", path: "/v2/models/:model/openapi.json", handle: describeModel },
    { method: "GET", path: "/v2/models/:model/docs", handle: modelPage },
    { method: "GET", path: "/docs/assets/:file", handle: asset },
  ];
}

const rootOf = ({ parts }: Exchange) => parts.settings.root_path;

function describeServer(x: Exchange, routes: readonly Route[]) {
  return serverDocument(routes, x.parts.plane.serverMetadata(), rootOf(x));
}

function describeModel(x: Exchange): Promise<void> {
  return sendJson(x, 200, modelDocument(x.parts.plane, modelOf(x), rootOf(x)));
}

function serverPage(x: Exchange, page: typeof swaggerPage): Promise<void> {
  return sendPage(x, page(rootOf(x), "/openapi.json", `${x.parts.plane.serverMetadata().name}: API`));
}

function modelPage(x: Exchange): Promise<void> {
  const { name } = x.parts.plane.modelMetadata(modelOf(x));
  const url = `/v2/models/${encodeURIComponent(name)}/openapi.json`;
  return sendPage(x, swaggerPage(rootOf(x), url, `${name}: API`));
}

function sendPage(x: Exchange, { html, policy }: ReturnType<typeof swaggerPage>): Promise<void> {
  return sendBytes(x, 200, Buffer.from(html), {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": policy,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
  });
}

async function asset(x: Exchange): Promise<void> {
  const { type, bytes } = await readAsset(x.params.file!);
  const headers = { "content-type": type, "cache-control": CACHE, "x-content-type-options": "nosniff" };
  return sendBytes(x, 200, bytes, headers);
}
