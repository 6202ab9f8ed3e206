import { Command, InvalidArgumentError, Option } from "commander";
import type { ModelDetails } from "../host/types.ts";
import { table } from "./database.ts";
import { followEvents, lineOf, readEvents } from "./model-events.ts";

interface Flags {
  readonly url: string;
  readonly key?: string;
  readonly version?: string;
  readonly json?: boolean;
}

const URL_OPTION = new Option("--url <url>", "address of the server")
  .default("http://127.0.0.1:8080")
  .argParser(addressOf)
  .env("CAPSTAN_URL");
const KEY_OPTION = new Option("--key <key>", "an administrator's key").env("CAPSTAN_KEY");

/** `capstan models ...`: what a running server serves, and which version of it. */
export function command(): Command {
  const models = new Command("models").description("What a running server serves, and which version of it");
  const add = (name: string, description: string) =>
    models.command(name).description(description).addOption(URL_OPTION).addOption(KEY_OPTION).exitOverride();
  add("list", "Every model version: state, revision, digest of its files, age, reason")
    .argument("[name]", "of this model alone")
    .option("--json", "as JSON")
    .action(async (model: string | undefined, flags: Flags) => {
      const all = await details(flags);
      show(model === undefined ? all : named(all, model), flags);
    });
  for (const [name, action] of Object.entries(ACTIONS)) {
    add(name, action.description)
      .argument("<name>", "the model")
      .action(async (model: string, flags: Flags) => {
        await ask(flags, action.path(model));
        show(named(await details(flags), model), flags);
      });
  }
  add("pin", "Stays on a version until unpin, whatever the registry says")
    .argument("<name>", "the model")
    .option("--version <version>", "default: the one that serves")
    .action(async (model: string, flags: Flags) => {
      await ask(flags, pathOf(model, "pin"), { version: flags.version });
      show(named(await details(flags), model), flags);
    });
  add("events", "What happened to the models: loads, swaps, failures, decisions")
    .argument("[name]", "of this model alone")
    .option("--since <when>", "after an event's id, or since a time such as 2026-01-31T12:00:00Z")
    .option("--follow", "and what comes, until Ctrl-C")
    .option("--json", "one JSON object a line")
    .action(showEvents);
  return models;
}

interface EventFlags extends Flags {
  readonly since?: string;
  readonly follow?: boolean;
}

async function showEvents(model: string | undefined, { json, follow, ...flags }: EventFlags): Promise<void> {
  const asked = { ...flags, model };
  const events = follow ? followEvents(asked, new AbortController().signal) : await readEvents(asked);
  for await (const event of events) console.log(json ? JSON.stringify(event) : lineOf(event));
}

function addressOf(text: string): string {
  if (/^https?:$/.test(URL.parse(text)?.protocol ?? "")) return text;
  throw new InvalidArgumentError("Give an address such as http://127.0.0.1:8080");
}

const pathOf = (model: string, action: string) => `/v2/models/${encodeURIComponent(model)}/${action}`;
const repositoryPath = (model: string, action: string) =>
  `/v2/repository/models/${encodeURIComponent(model)}/${action}`;

const ACTIONS: Readonly<Record<string, { description: string; path: (model: string) => string }>> = {
  load: { description: "Loads a model", path: (model) => repositoryPath(model, "load") },
  reload: {
    description: "Asks the registry, and loads the model anew",
    path: (model) => repositoryPath(model, "load"),
  },
  unload: { description: "Stops serving a model", path: (model) => repositoryPath(model, "unload") },
  rollback: {
    description: "The version before serves again, until the alias moves",
    path: (model) => pathOf(model, "rollback"),
  },
  unpin: { description: "Follows the alias again", path: (model) => pathOf(model, "unpin") },
};

const named = (models: readonly ModelDetails[], name: string) => models.filter((each) => each.name === name);

async function details(flags: Flags): Promise<readonly ModelDetails[]> {
  const { models } = (await ask(flags, "/admin/models")) as { models: readonly ModelDetails[] };
  return models;
}

/** GET without a body, else POST. @throws Error with what the server said. */
async function ask({ url, key }: Flags, path: string, body?: object): Promise<unknown> {
  const isRead = path.startsWith("/admin/");
  const headers = { "content-type": "application/json", ...(key && { authorization: `Bearer ${key}` }) };
  const request = isRead ? { headers } : { method: "POST", headers, body: JSON.stringify(body ?? {}) };
  const response = await fetch(url.replace(/\/+$/, "") + path, request).catch((cause: Error) => {
    throw new Error(`No server answers at ${url}: ${(cause.cause as Error)?.message ?? cause.message}`);
  });
  const answer = (await response.json().catch(() => ({}))) as { error?: string };
  if (!response.ok) throw new Error(answer.error ?? `The server answered ${response.status}`);
  return answer;
}

const COLUMNS = ["NAME", "VERSION", "STATE", "REVISION", "DIGEST", "AGE", "NOTE"] as const;
const SHORT = 12;

function show(models: readonly ModelDetails[], { json }: Flags): void {
  console.log(json ? JSON.stringify(models, null, 2) : table([COLUMNS, ...models.map(rowOf)]));
}

function rowOf(model: ModelDetails): string[] {
  const canary = model.canaryWeight === undefined ? "" : `canary ${model.canaryWeight} %`;
  return [
    model.name,
    model.version,
    model.state,
    model.revision?.slice(0, SHORT) ?? "-",
    model.digest?.slice(0, SHORT) ?? "-",
    model.loadedAt === undefined ? "-" : age(Date.now() - model.loadedAt),
    [canary, model.reason || model.note].filter(Boolean).join("; "),
  ];
}

const UNITS = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1000],
] as const;

function age(ms: number): string {
  const [unit, size] = UNITS.find(([, each]) => ms >= each) ?? UNITS[3];
  return `${Math.floor(ms / size)}${unit}`;
}
