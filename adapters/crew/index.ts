import {
  type Call,
  type CapLLM,
  defineAdapter,
  type Host,
  type ModelSpec,
} from "../../src/contracts/index.ts";
import { openCrew } from "./crew.ts";
import { Findings } from "./findings.ts";
import { checkLinks } from "./links.ts";
import { CrewModel } from "./model.ts";
import { type CrewOptions, crewOptions } from "./options.ts";
import { findProject } from "./project.ts";
import { readCrew } from "./read-crew.ts";
import { Toolbox } from "./tools.ts";

/**
 * Serves crews of agents described in CrewAI's files, with a runner of our own: there is no Python in it. Tools are
 * modules in `tools/`.
 */
export default defineAdapter<CrewOptions>({
  name: "crew",
  options: crewOptions,
  overridable: ["tool_calling", "max_iter"],
  load,
});

async function load(model: ModelSpec, options: CrewOptions, host: Host, call: Call): Promise<CapLLM> {
  call.signal.throwIfAborted();
  const project = await findProject(model);
  await using opened = new AsyncDisposableStack();
  const toolbox = new Toolbox(project.root, host, opened);
  const findings = new Findings();
  const definition = await readCrew(model, project, findings);
  if (!findings.failed) checkLinks(definition, options, toolbox, findings);
  findings.settle(model, call);
  const crew = await openCrew({ model, definition, options, toolbox, host, opened }, call);
  call.signal.throwIfAborted();
  return new CrewModel(crew, opened.move());
}
