import { invalid } from "../../src/contracts/index.ts";

export interface ModelName {
  readonly catalog: string;
  readonly schema: string;
  readonly model: string;
}

/** A model, and which of its versions. */
export interface Asked extends ModelName {
  readonly which:
    | { readonly kind: "latest" }
    | { readonly kind: "version"; readonly version: number }
    | { readonly kind: "alias"; readonly alias: string };
}

const URI = /^uc:\/\/([^./@?#]+)\.([^./@?#]+)\.([^./@?#]+)(?:@([\w.-]+)|\/(\d{1,9})|\?stage=(\w+))?$/;

/**
 * Unity Catalog has no stages: `?stage=Production` is the alias `production`, as migrations name it. Without a choice
 * the latest version is meant.
 * @throws CapstanError INVALID_ARGUMENT with the forms there are.
 */
export function parseUri(uri: string): Asked {
  const [, catalog, schema, model, alias, version, stage] = URI.exec(uri) ?? [];
  if (catalog === undefined || schema === undefined || model === undefined) {
    throw invalid(
      `'${uri}' is not a model in a Unity Catalog: it reads uc://catalog.schema.model@alias, or ends in /3, @latest or ` +
        "?stage=Production",
    );
  }
  return { catalog, schema, model, which: whichOf(alias ?? stage?.toLowerCase(), version) };
}

function whichOf(alias: string | undefined, version: string | undefined): Asked["which"] {
  if (version !== undefined) return { kind: "version", version: Number(version) };
  return alias === undefined || alias === "latest" ? { kind: "latest" } : { kind: "alias", alias };
}

export const fullName = ({ catalog, schema, model }: ModelName): string => `${catalog}.${schema}.${model}`;
