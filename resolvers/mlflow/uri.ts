import { invalid } from "../../src/contracts/index.ts";

/** What a uri asks for, as MLflow's own clients read it. */
export type Asked =
  | { readonly kind: "alias"; readonly name: string; readonly alias: string }
  | { readonly kind: "version"; readonly name: string; readonly version: string }
  | { readonly kind: "stage"; readonly name: string; readonly stage: string }
  | { readonly kind: "latest"; readonly name: string }
  | { readonly kind: "logged"; readonly model: string }
  | { readonly kind: "run"; readonly run: string; readonly path: string }
  | { readonly kind: "artifacts"; readonly uri: string };

const HELP =
  "It reads models:/name@alias, models:/name/3, models:/name/Production, models:/name/latest, runs:/run_id/path or " +
  "mlflow-artifacts:/path";

/** @throws CapstanError INVALID_ARGUMENT with the forms there are. */
export function parseUri(uri: string): Asked {
  const [scheme = "", rest = ""] = split(uri, ":");
  const found = scheme === "models" ? model(rest) : scheme === "runs" ? run(rest) : artifacts(uri, rest);
  if (found === undefined) throw invalid(`'${uri}' is not a uri of MLflow. ${HELP}`);
  return found;
}

function model(rest: string): Asked | undefined {
  const path = /^\/([^/].*)$/.exec(rest)?.[1];
  if (path === undefined) return undefined;
  if (/^m-[0-9a-f]{32}$/.test(path)) return { kind: "logged", model: path };
  const alias = /^([^/@]+)@([^/@]+)$/.exec(path);
  if (alias) return { kind: "alias", name: alias[1]!, alias: alias[2]! };
  const [, name, which] = /^([^/@]+)\/([^/]+)$/.exec(path) ?? [];
  if (name === undefined || which === undefined) return undefined;
  if (/^\d+$/.test(which)) return { kind: "version", name, version: String(Number(which)) };
  return /^latest$/i.test(which) ? { kind: "latest", name } : { kind: "stage", name, stage: which };
}

function run(rest: string): Asked | undefined {
  const [, id, path = ""] = /^\/([\w-]+)(?:\/(.*))?$/.exec(rest) ?? [];
  const kept = path.replace(/\/+$/, "");
  return id === undefined || !isSafe(kept) ? undefined : { kind: "run", run: id, path: kept };
}

function artifacts(uri: string, rest: string): Asked | undefined {
  return /^\/(\/[^/]+\/)?[^/]/.test(rest) && isSafe(rest) ? { kind: "artifacts", uri } : undefined;
}

export const isSafe = (path: string): boolean =>
  !path.split("/").some((part) => part === "." || part === "..") && !/[\\\0?#]/.test(path);

function split(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return [text.slice(0, at), text.slice(at + 1)];
}
