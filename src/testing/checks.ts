import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import {
  type Call,
  type CapstanError,
  type ErrorCode,
  isCapstanError,
  type OptionsSchema,
} from "../contracts/index.ts";
import { testCall } from "./call.ts";

/** One thing a plugin must do. `run` rejects with an AssertionError where it does not. */
export interface ContractCase {
  readonly name: string;
  run(): Promise<void>;
}

/** A call that the case itself aborts. */
export interface AbortableCall {
  readonly call: Call;
  readonly reason: Error;
  abort(): void;
}

export function abortableCall(): AbortableCall {
  const controller = new AbortController();
  const reason = new Error("the contract kit aborted this call");
  return {
    call: testCall({ signal: controller.signal }),
    reason,
    abort: () => controller.abort(reason),
  };
}

/** A call that was aborted before it began. */
export function abortedCall(): AbortableCall {
  const aborted = abortableCall();
  aborted.abort();
  return aborted;
}

/** The promise rejects with the signal's own reason, not with another error about it. */
export async function rejectsWithReason(
  work: Promise<unknown>,
  { call, reason }: AbortableCall,
): Promise<void> {
  await assert.rejects(work, (thrown) => {
    assert.equal(thrown, reason, `rejected with ${String(thrown)} instead of signal.reason`);
    return true;
  });
  assertNoListeners(call);
}

export function assertNoListeners({ signal }: Call): void {
  assert.equal(getEventListeners(signal, "abort").length, 0, "a listener was left on the signal");
}

/** The promise rejects with a CapstanError of one of these codes, and a message. */
export async function rejectsWithCode(work: Promise<unknown>, ...codes: ErrorCode[]): Promise<void> {
  await assert.rejects(work, (thrown) => {
    assertCapstanError(thrown);
    assert.ok(
      codes.includes(thrown.code),
      `code ${thrown.code} (${thrown.message}), not ${codes.join(" or ")}`,
    );
    assert.notEqual(thrown.message, "");
    return true;
  });
}

export function assertCapstanError(thrown: unknown): asserts thrown is CapstanError {
  assert.ok(isCapstanError(thrown), `not a CapstanError: ${String(thrown)}`);
}

/** The options as the plugin's schema understands them. */
export function parseOptions<O>({ options }: { options: OptionsSchema<O> }, given: unknown = {}): O {
  const result = options.safeParse(given);
  assert.ok(result.success, `the fixture's options are refused: ${JSON.stringify(result)}`);
  return result.data;
}

/** Every plugin: an option nobody knows is refused by its name, and options a call may change exist. */
export function optionCases(
  plugin: { readonly options: OptionsSchema<unknown>; readonly overridable?: readonly string[] },
  given: unknown = {},
): ContractCase[] {
  return [
    {
      name: "refuses an unknown option by name",
      async run() {
        const result = plugin.options.safeParse({ ...(given as object), no_such_option: 1 });
        assert.ok(!result.success, "an unknown option was accepted");
        const named = result.error.issues.some((issue) => issue.keys?.includes("no_such_option"));
        assert.ok(named, "no issue names the unknown option in `keys`");
      },
    },
    {
      name: "has every overridable option in its schema",
      async run() {
        for (const key of plugin.overridable ?? []) {
          assert.ok(Object.hasOwn(plugin.options.shape, key), `option '${key}' is not in the schema`);
        }
      },
    },
  ];
}

/** A thing that was opened for one case. */
export type Opened<T extends AsyncDisposable> = (call?: Call) => Promise<T>;

/** Everything that is opened: disposing it twice, or unused, does no harm. */
export function disposalCases<T extends AsyncDisposable>(open: Opened<T>): ContractCase[] {
  return [
    {
      name: "can be disposed unused",
      async run() {
        await (await open())[Symbol.asyncDispose]();
      },
    },
    {
      name: "can be disposed twice, also at once",
      async run() {
        const opened = await open();
        await Promise.all([opened[Symbol.asyncDispose](), opened[Symbol.asyncDispose]()]);
        await opened[Symbol.asyncDispose]();
      },
    },
  ];
}

/** A case that opens the thing and disposes it whatever happens. */
export function caseWith<T extends AsyncDisposable>(
  open: Opened<T>,
): (name: string, check: (opened: T) => Promise<void>) => ContractCase {
  return (name, check) => ({
    name,
    async run() {
      await using opened = await open();
      await check(opened);
    },
  });
}
