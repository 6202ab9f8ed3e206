import type { Document, Path } from "./document.ts";
import type { AgentFields, TaskFields } from "./fields.ts";
import type { NamedModel } from "./options.ts";

/** Where something was written. */
export interface Written {
  readonly document: Document;
  readonly path: Path;
}

export interface AgentDefinition extends Written {
  readonly name: string;
  readonly fields: AgentFields;
}

export interface TaskDefinition extends Written {
  readonly name: string;
  readonly fields: TaskFields;
}

/** A crew as its files say it is. */
export interface CrewDefinition {
  readonly agents: ReadonlyMap<string, AgentDefinition>;
  readonly tasks: readonly TaskDefinition[];
  readonly process?: "sequential" | "hierarchical" | undefined;
  readonly managerLlm?: NamedModel | undefined;
  readonly managerAgent?: string | undefined;
  /** Default values of placeholders. */
  readonly inputs: Readonly<Record<string, unknown>>;
}
