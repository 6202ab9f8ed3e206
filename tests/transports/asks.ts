import type { Seen, TestTensor } from "./tensors.ts";

/** One inference request, whatever it travels by. */
export interface Ask {
  readonly model: string;
  readonly version?: string;
  readonly id?: string;
  readonly parameters?: Readonly<Record<string, string | number | boolean>>;
  readonly inputs: readonly TestTensor[];
  readonly outputs?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Answer {
  readonly model: string;
  readonly version: string;
  readonly id: string | undefined;
  readonly outputs: readonly Seen[];
}

/** A refusal: its HTTP status or its gRPC code, whether that is the one of the table, and the message. */
export interface Refusal {
  readonly number: number;
  readonly message: string;
  /** When to come back, as the transport says it. */
  readonly retry: string | undefined;
}
