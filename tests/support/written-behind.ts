import type { Turn } from "../../src/contracts/index.ts";

/** A table that all replicas read, and that a replica writes behind its answers. */
export const WRITTEN_BEHIND = `
  const table = (globalThis.writtenBehind ??= { rows: [], written: Promise.resolve() });
  export default {
    kind: "memory", name: "behind", options: { shape: {}, safeParse: (data) => ({ success: true, data }) },
    async open() {
      let behind = Promise.resolve();
      return {
        async append(_, turns) { behind = table.written.then(() => { table.rows.push(...turns) }) },
        async *read() { await behind; yield* [...table.rows] },
        async clear() { table.rows.length = 0 },
        async settled(_, { signal }) {
          await Promise.race([behind, new Promise((_, reject) => signal.addEventListener("abort", reject))]);
        },
        async [Symbol.asyncDispose]() {},
      };
    },
  };`;

interface Table {
  rows: Turn[];
  written: Promise<void>;
}
/** Of all replicas: they are in this process. */
export const table = () => (globalThis as unknown as { writtenBehind: Table }).writtenBehind;

/** An empty table, whose rows are written when the promise resolves. */
export function resetTable(written: Promise<void> = Promise.resolve()): void {
  Object.assign(globalThis, { writtenBehind: { rows: [], written } });
}
