import { CapstanError } from "../contracts/index.ts";

/** Which model asks which: two models that call each other would wait for ever. */
export class ModelGraph {
  readonly #edges = new Map<string, string[]>();

  /**
   * Records that `caller` uses `callee` until the result is disposed.
   * @throws CapstanError LOAD_FAILED with the cycle this would close.
   */
  connect(caller: string, callee: string): Disposable {
    const path = this.#path(callee, caller);
    if (path !== undefined) {
      const cycle = [caller, ...path].join(" -> ");
      throw new CapstanError("LOAD_FAILED", `The models call each other in a cycle: ${cycle}`);
    }
    const callees = this.#edges.get(caller) ?? [];
    this.#edges.set(caller, callees);
    callees.push(callee);
    return { [Symbol.dispose]: () => this.#remove(callees, callee) };
  }

  #remove(callees: string[], callee: string): void {
    const index = callees.indexOf(callee);
    if (index >= 0) callees.splice(index, 1);
  }

  #path(from: string, to: string, seen = new Set<string>()): string[] | undefined {
    if (from === to) return [from];
    if (seen.has(from)) return undefined;
    seen.add(from);
    for (const next of this.#edges.get(from) ?? []) {
      const rest = this.#path(next, to, seen);
      if (rest !== undefined) return [from, ...rest];
    }
    return undefined;
  }
}
