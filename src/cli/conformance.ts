/** `capstan conformance`: the V2 / Open Inference Protocol conformance suite, against any server. */
import { writeFile } from "node:fs/promises";
import { Command, InvalidArgumentError } from "commander";
import { writeReferenceModels } from "../conformance/reference-model.ts";
import { renderJson } from "../conformance/report/json.ts";
import { renderJunit } from "../conformance/report/junit.ts";
import { exitCodeOf } from "../conformance/report/summary.ts";
import { renderTable } from "../conformance/report/table.ts";
import { type RunOptions, runSuite } from "../conformance/run.ts";
import type { Report } from "../conformance/types.ts";

interface Options {
  readonly grpc?: string;
  readonly model?: string;
  readonly json?: boolean;
  readonly junit?: string;
  readonly repository?: boolean;
  readonly strict?: boolean;
  readonly timeout: number;
  readonly header: Readonly<Record<string, string>>;
  readonly writeReference?: string;
}

function parseUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === "http:" || url?.protocol === "https:") return text.replace(/\/+$/, "");
  throw new InvalidArgumentError("Give an address such as http://127.0.0.1:8080");
}

function parseGrpc(text: string): string {
  const address = text.replace(/^grpc:\/\//, "");
  if (/^[^/]+:\d+$/.test(address)) return address;
  throw new InvalidArgumentError("Give HOST:PORT");
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (seconds > 0 && Number.isFinite(seconds)) return seconds;
  throw new InvalidArgumentError("Give a number of seconds above 0");
}

function parseHeader(text: string, before: Readonly<Record<string, string>>): Record<string, string> {
  const at = text.indexOf(":");
  if (at < 1) throw new InvalidArgumentError("Give NAME: VALUE");
  return { ...before, [text.slice(0, at).trim().toLowerCase()]: text.slice(at + 1).trim() };
}

function runOptions(url: string, options: Options): RunOptions {
  return {
    url,
    headers: options.header,
    timeoutMs: options.timeout * 1000,
    mayWrite: options.repository ?? false,
    ...(options.grpc === undefined ? {} : { grpc: options.grpc }),
    ...(options.model === undefined ? {} : { model: options.model }),
  };
}

async function runAgainst(url: string, options: RunOptions): Promise<Report> {
  try {
    return await runSuite(options);
  } catch (error) {
    const cause = error instanceof Error ? error.message || error.cause : error;
    throw new Error(`No V2 server answers at ${url}: ${String(cause)}`, { cause: error });
  }
}

async function test(url: string, options: Options): Promise<void> {
  const report = await runAgainst(url, runOptions(url, options));
  const strict = options.strict ?? false;
  if (options.junit !== undefined) await writeFile(options.junit, renderJunit(report, strict));
  process.stdout.write(options.json ? renderJson(report) : renderTable(report));
  process.exitCode = exitCodeOf(report, strict);
}

async function writeModels(folder: string): Promise<void> {
  for (const path of await writeReferenceModels(folder)) console.log(path);
}

/** The command; its exit code is 0 when every applicable check passes, 1 when one fails, 2 on bad usage. */
export function command(): Command {
  const command: Command = new Command("conformance")
    .description("Run the V2 conformance suite against a server")
    .argument("[url]", "HTTP address of the server", parseUrl)
    .option("--grpc <host:port>", "gRPC address; without it the gRPC checks are not applicable", parseGrpc)
    .option("--model <name>", "the model to ask; default: the reference model, else the first that answers")
    .option("--json", "print the report as JSON")
    .option("--junit <file>", "also write the report as JUnit XML")
    .option("--repository", "also load and unload the model; it is loaded again afterwards")
    .option("--strict", "a SHOULD that does not hold counts as a failure")
    .option("--timeout <seconds>", "time for each check", parseSeconds, 15)
    .option(
      "--header <name: value>",
      "sent with every request, HTTP and gRPC; may be repeated",
      parseHeader,
      {},
    )
    .option("--write-reference <folder>", "write the reference models there, to be served, and stop")
    .action(async (url: string | undefined, options: Options) => {
      if (options.writeReference !== undefined) await writeModels(options.writeReference);
      else if (url === undefined) command.error("error: missing required argument 'url'", { exitCode: 2 });
      else await test(url, options);
    });
  return command;
}
