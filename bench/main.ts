/**
 * `npm run bench`: CPU time of the server for each request, as a multiple of the floor's, and what a start
 * takes; what a token of an application, or in front of an upstream, takes; what a row of the inference log takes; and what
 * becomes of requests under overload and when the server is stopped. Figures of minima are compared; the share of the machine that
 * others had stands beside each.
 */
import { parseArgs } from "node:util";
import { runAccessSuite } from "./access-suite.ts";
import { runBatchingSuite } from "./batching-suite.ts";
import { type Figure, formatFigure } from "./figure.ts";
import { runFuzzSuite } from "./fuzz/suite.ts";
import { formatLangchainRows, runLangchainSuite } from "./langchain.ts";
import { runLlmSuite } from "./llm/suite.ts";
import { formatLoadRows, runLoadSuite } from "./load-suite.ts";
import { runLogSuite } from "./log/suite.ts";
import { runOverloadSuite } from "./overload/suite.ts";
import { runPeersSuite } from "./peers/suite.ts";
import { SCENARIOS } from "./scenarios.ts";
import { formatStartRows, runStartSuite } from "./start-suite.ts";

const SUITES = ["access", "start", "batching", "fuzz", "langchain", "llm", "log", "overload"];
const NAMES = [...SCENARIOS.map(({ name }) => name), ...SUITES, "peers"];

const USAGE = `Usage: npm run bench -- [--rounds N] [--seconds N] [--only NAME] [--models FOLDER] [--json]
  --only    one of: ${NAMES.join(", ")}; may be given again; all but \`peers\` when absent
  --models  a repository with the models iris and digits (default: model-settings)

\`peers\` measures Capstan beside MLServer and Triton, which it installs on first use.`;

function readOptions() {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "5" },
      seconds: { type: "string", default: "3" },
      only: { type: "string", multiple: true, default: [] },
      models: { type: "string", default: "model-settings" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const unknown = values.only.find((name) => !NAMES.includes(name));
  const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];
  if (values.help || unknown !== undefined || !(rounds >= 1) || !(seconds > 0)) {
    console.error(USAGE);
    process.exit(values.help ? 0 : 2);
  }
  return { ...values, rounds, seconds };
}

const options = readOptions();
const wanted = (name: string) => options.only.length === 0 || options.only.includes(name);
const scenarios = SCENARIOS.filter(({ name }) => wanted(name));

const print = (text: string) => options.json || console.log(`${text}\n`);

print(`${options.rounds} rounds of ${options.seconds} s, Node ${process.version}`);
const load = scenarios.length > 0 ? await runLoadSuite(scenarios, options) : [];
if (load.length > 0) print(formatLoadRows(load));
const start = wanted("start") ? await runStartSuite(options) : [];
if (start.length > 0) print(formatStartRows(start));
const langchain = wanted("langchain") ? await runLangchainSuite(options) : [];
if (langchain.length > 0) print(formatLangchainRows(langchain));
const figures: Figure[] = [];
const report = (each: Figure) => {
  figures.push(each);
  if (!options.json) console.log(formatFigure(each));
};
if (wanted("access")) await runAccessSuite(options, report);
if (wanted("batching")) await runBatchingSuite(options, report);
if (wanted("fuzz")) await runFuzzSuite(options.models, report);
if (wanted("llm")) await runLlmSuite(options, report);
if (wanted("log")) await runLogSuite(options, report);
if (wanted("overload")) await runOverloadSuite(report);
if (options.only.includes("peers")) print(formatLoadRows(await runPeersSuite(options, report)));
if (options.json)
  console.log(JSON.stringify({ node: process.version, load, start, langchain, figures }, null, 2));
