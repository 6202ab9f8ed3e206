import { Command, CommanderError } from "commander";
import { SettingsError } from "../settings/problems.ts";
import { packageVersion } from "../settings/server.ts";

interface CommandModule {
  /** The command with its options and action. */
  command(): Command;
}

/** One file per command; a command's file, and all it needs, is loaded only when it is asked for. */
const COMMANDS: Readonly<Record<string, { summary: string; load: () => Promise<CommandModule> }>> = {
  start: { summary: "Serve a model repository", load: () => import("./start.ts") },
  check: { summary: "Check the settings of a repository", load: () => import("./check.ts") },
  gateway: { summary: "Stream answers of a V2 gRPC server to browsers", load: () => import("./gateway.ts") },
  models: { summary: "What a running server serves, and which version", load: () => import("./models.ts") },
  roles: { summary: "Tiers, and what the keys of each may do", load: () => import("./roles.ts") },
  keys: { summary: "Keys of callers", load: () => import("./keys.ts") },
  usage: { summary: "What each key used", load: () => import("./usage.ts") },
  db: { summary: "The database of keys, usage and records", load: () => import("./db.ts") },
  conformance: {
    summary: "Run the V2 conformance suite against a server",
    load: () => import("./conformance.ts"),
  },
};

const USAGE = 2;
const FAILURE = 1;

/**
 * Runs one command line and returns its exit code: 0, 1 on failure, 2 on bad usage or settings.
 * @param argv the arguments after the program's name.
 */
export async function run(argv: readonly string[]): Promise<number> {
  try {
    const program = await createProgram(argv);
    await program.parseAsync(argv, { from: "user" });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    return report(error);
  }
}

async function createProgram(argv: readonly string[]): Promise<Command> {
  const program = new Command("capstan")
    .description("A pluggable model server: V2 / Open Inference Protocol over HTTP and gRPC")
    .version(packageVersion())
    // `pin NAME --version V` is not the version of the program.
    .enablePositionalOptions()
    .exitOverride();
  const wanted = argv.find((argument) => Object.hasOwn(COMMANDS, argument));
  for (const [name, { summary, load }] of Object.entries(COMMANDS)) {
    if (name === wanted) program.addCommand((await load()).command().exitOverride());
    else program.command(name).description(summary);
  }
  return program;
}

/** Messages are for a person: no stack trace. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE;
  console.error(error instanceof Error ? error.message : String(error));
  return error instanceof SettingsError ? USAGE : FAILURE;
}
