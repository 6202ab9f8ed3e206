import type { Part } from "../../src/contracts/index.ts";
import { textOf } from "./messages.ts";

/** A node that an answer was made from. */
export interface Source {
  readonly id: string;
  readonly score?: number;
  readonly text: string;
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** What one piece of LlamaIndex's output says. */
export interface Piece {
  readonly parts: readonly Part[];
  readonly sources: readonly Source[];
  /** The whole answer once more, at the end of an agent's events. */
  readonly whole?: string;
}

/** The fields that are used of engine responses, chunks and events. All may be missing. */
interface Loose {
  readonly message?: { readonly content?: unknown };
  readonly sourceNodes?: unknown;
  readonly delta?: unknown;
  readonly response?: unknown;
  readonly data?: unknown;
}

interface AgentEvent {
  readonly delta?: unknown;
  readonly toolName?: unknown;
  readonly toolId?: unknown;
  readonly toolKwargs?: unknown;
  readonly toolOutput?: { readonly result?: unknown; readonly isError?: unknown };
  readonly result?: unknown;
}

const NOTHING: Piece = { parts: [], sources: [] };

/** Engine responses, chunks of models, events of agents, and plain text. */
export function pieceOf(value: unknown): Piece {
  if (typeof value === "string") return text(value);
  if (typeof value !== "object" || value === null) return NOTHING;
  const { message, sourceNodes, data } = value as Loose;
  if (typeof data === "object" && data !== null) return eventPiece(data);
  const piece = text(
    contentOf(message?.content) ?? contentOf((value as Loose).delta ?? (value as Loose).response),
  );
  return { ...piece, sources: sourcesOf(sourceNodes) };
}

/** Other events say nothing to a caller. */
function eventPiece(event: AgentEvent): Piece {
  const { toolName: tool, toolId: id, toolKwargs: input, toolOutput } = event;
  if (typeof event.delta === "string") return text(event.delta);
  if (typeof tool === "string" && toolOutput !== undefined) {
    const { result: output, isError: failed = false } = toolOutput;
    return step("tool-result", { tool, id, output, failed });
  }
  if (typeof tool === "string") return step("tool-call", { tool, id, input });
  const whole = contentOf(event.result);
  return whole === undefined ? NOTHING : { ...NOTHING, whole };
}

function text(value: string | undefined): Piece {
  return value === undefined || value === ""
    ? NOTHING
    : { ...NOTHING, parts: [{ type: "text", choice: 0, text: value }] };
}

function step(name: string, detail: unknown): Piece {
  return { ...NOTHING, parts: [{ type: "step", choice: 0, name, detail }] };
}

function contentOf(content: unknown): string | undefined {
  if (typeof content === "string") return content;
  return Array.isArray(content) ? textOf(content) : undefined;
}

interface ScoredNode {
  readonly node?: {
    readonly id_?: unknown;
    readonly text?: unknown;
    readonly metadata?: Readonly<Record<string, unknown>>;
  };
  readonly score?: unknown;
}

function sourcesOf(nodes: unknown): Source[] {
  if (!Array.isArray(nodes)) return [];
  return (nodes as readonly ScoredNode[]).flatMap(({ node, score }) => {
    if (node === undefined) return [];
    const id = String(node.id_ ?? "");
    const known = typeof score === "number" ? { score } : {};
    return [{ id, ...known, text: String(node.text ?? ""), metadata: node.metadata ?? {} }];
  });
}

/** Where a source's name is looked for. */
const LABELS = ["file_name", "title", "file_path", "source", "url"];

/** One line for each file or page, numbered, the best first. */
export function citationLines(sources: readonly Source[]): string {
  const labels = new Set(sources.map(({ id, metadata }) => labelOf(metadata) ?? id));
  return [...labels].map((label, place) => `[${place + 1}] ${label}`).join("\n");
}

function labelOf(metadata: Source["metadata"]): string | undefined {
  const label = LABELS.map((key) => metadata[key]).find((value) => typeof value === "string" && value !== "");
  return label as string | undefined;
}
