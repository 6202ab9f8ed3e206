import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { DEPLOY } from "../deploy/manifests.ts";

interface Target {
  readonly expr: string;
  readonly datasource: { readonly uid: string };
}

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly targets?: readonly Target[];
}

interface Variable {
  readonly name: string;
  readonly allValue: string;
  readonly query: { readonly query: string };
}

export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly Variable[] };
}

const FOLDER = path.join(DEPLOY, "grafana", "dashboards");

/** Every dashboard, by the name of its file. */
export async function dashboards(): Promise<ReadonlyMap<string, Dashboard>> {
  const files = (await readdir(FOLDER)).sort();
  const read = async (file: string) =>
    [
      path.parse(file).name,
      JSON.parse(await readFile(path.join(FOLDER, file), "utf8")) as Dashboard,
    ] as const;
  return new Map(await Promise.all(files.map(read)));
}

/** The queries of a dashboard as Grafana sends them, with the title of their panel. */
export function queriesOf({
  panels,
  templating,
}: Dashboard): { readonly title: string; readonly query: string }[] {
  return panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({ title, query: filled(expr, templating.list) })),
  );
}

function filled(expr: string, variables: readonly Variable[]): string {
  const known = variables.reduce((text, { name, allValue }) => text.replaceAll(`$${name}`, allValue), expr);
  return known.replaceAll("$__rate_interval", "20s");
}
