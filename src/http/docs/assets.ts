import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { CapstanError } from "../../contracts/index.ts";

/** Files of the API pages: name -> package and path in it. The build copies them beside this module. */
export const ASSETS: Readonly<Record<string, readonly [string, string]>> = {
  "swagger-ui.css": ["swagger-ui-dist", "swagger-ui.css"],
  "swagger-ui-bundle.js": ["swagger-ui-dist", "swagger-ui-bundle.js"],
  "favicon-32x32.png": ["swagger-ui-dist", "favicon-32x32.png"],
  "redoc.standalone.js": ["redoc", "bundles/redoc.standalone.js"],
};

/** Parts of the files that ask other hosts, and what is there instead: ReDoc's page shows a logo of its makers. */
const FOREIGN: Readonly<Record<string, readonly [string, string]>> = {
  "redoc.standalone.js": ["https://cdn.redoc.ly/redoc/logo-mini.svg", "data:,"],
};

/** What the pages run: inline scripts are not allowed on them. */
const SCRIPTS: Readonly<Record<string, string>> = {
  "swagger.js": `SwaggerUIBundle({ url: document.body.dataset.url, dom_id: "#page", deepLinking: true, tryItOutEnabled: true, validatorUrl: null, persistAuthorization: false });`,
  "redoc.js": `Redoc.init(document.body.dataset.url, { disableSearch: false, hideDownloadButton: false }, document.getElementById("page"));`,
};

const TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".png": "image/png",
};

const BESIDE = path.join(import.meta.dirname, "assets");

/** In the package they lie beside this module, in a checkout in the packages they come from. */
export function assetPath(name: string): string {
  const beside = path.join(BESIDE, name);
  if (existsSync(beside)) return beside;
  const [from, file] = ASSETS[name]!;
  const manifest = createRequire(import.meta.url).resolve(`${from}/package.json`);
  return path.join(path.dirname(manifest), file);
}

/** @throws CapstanError NOT_FOUND */
export async function readAsset(
  name: string,
): Promise<{ readonly type: string; readonly bytes: Uint8Array }> {
  const type = TYPES[path.extname(name)];
  if (type !== undefined && Object.hasOwn(SCRIPTS, name)) return { type, bytes: Buffer.from(SCRIPTS[name]!) };
  if (type === undefined || !Object.hasOwn(ASSETS, name)) {
    throw new CapstanError("NOT_FOUND", `There is no asset '${name}'`);
  }
  return { type, bytes: await readLocal(name) };
}

async function readLocal(name: string): Promise<Uint8Array> {
  const bytes = await readFile(assetPath(name));
  const foreign = FOREIGN[name];
  return foreign === undefined ? bytes : Buffer.from(bytes.toString("utf8").replaceAll(...foreign));
}
