/** The words of the suite: what a check may need, what comes of it, and what was learnt of the server. */
import type { TensorSpec } from "../contracts/index.ts";

/** MUST: a client written to the public documents breaks without it. SHOULD: good practice of the field. */
export type Level = "must" | "should";

/** What a check needs beyond a V2 server; where it is missing, the check is not applicable. */
export type Need =
  | "target"
  | "versions"
  | "reference"
  | "binary"
  | "grpc"
  | "grpc-stream"
  | "repository"
  | "writes"
  | "statistics"
  | "configuration"
  | "generate";

/** One request of a check and its answer, shortened for reading. */
export interface Exchange {
  readonly sent: string;
  readonly received: string;
}

/** `warn` is a SHOULD that does not hold. */
export type Outcome = "pass" | "fail" | "warn" | "not-applicable";

export interface Result {
  readonly id: string;
  readonly level: Level;
  readonly title: string;
  readonly source: string;
  readonly outcome: Outcome;
  /** Why it did not pass. */
  readonly reason?: string;
  readonly exchanges?: readonly Exchange[];
  readonly milliseconds: number;
}

export interface Report {
  readonly url: string;
  readonly grpc?: string;
  readonly server: { readonly name: string; readonly version: string };
  readonly model?: string;
  readonly results: readonly Result[];
}

/** A model the checks may ask, with the signature its metadata gives. */
export interface Target {
  readonly name: string;
  readonly versions: readonly string[];
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

/** A line of the repository index. */
export interface IndexEntry {
  readonly name: string;
  readonly version?: string;
  readonly state?: string;
}

/** What was learnt of the server before the checks. */
export interface Facts {
  readonly serverName: string;
  readonly serverVersion: string;
  readonly extensions: ReadonlySet<string>;
  readonly index: readonly IndexEntry[];
  /** The model most checks ask; it answered a sample request. */
  readonly target?: Target;
  /** Why there is no target. */
  readonly targetProblem?: string;
  /** The reference model, when the server has it. */
  readonly reference?: Target;
  /** The reference model of FP16. */
  readonly half?: Target;
  /** A model with exactly one input. */
  readonly single?: Target;
  /** A model that takes `text_input` and gives `text_output`. */
  readonly generator?: string;
  /** Routes that answered, by extension name. */
  readonly answers: ReadonlySet<string>;
  readonly grpc: boolean;
  readonly grpcStream: boolean;
  readonly mayWrite: boolean;
}

/** The rule does not hold. */
export class CheckFailure extends Error {
  override readonly name = "CheckFailure";
}

/** The rule cannot be tried on this server; the message says why. */
export class NotApplicable extends Error {
  override readonly name = "NotApplicable";
}
