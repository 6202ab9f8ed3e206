import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import type { MemoryStore } from "../../src/contracts/index.ts";
import { type Connect, Connection } from "./connection.ts";
import { Journal } from "./journal.ts";
import type { DeltaOptions } from "./options.ts";
import { Statements } from "./statements.ts";
import { DeltaMemory } from "./store.ts";
import { WriteBehind } from "./write-behind.ts";

/** Opens a store over any way to a warehouse; what a crash left in the journal is written in the background. */
export async function openDelta(options: DeltaOptions, connect: Connect): Promise<MemoryStore> {
  const { host, table, token, journal } = options;
  const statements = new Statements(table);
  const connection = new Connection(connect, statements, `${table} at ${host}`, token);
  const writer = await WriteBehind.start(await Journal.open(folderOf(options, journal)), async (rows) => {
    await connection.run(statements.insert(rows));
  });
  return new DeltaMemory(connection, statements, writer);
}

/** Each table has a folder of its own. */
function folderOf({ host, port, path, table }: DeltaOptions, journal: string): string {
  const place = createHash("sha256")
    .update(JSON.stringify([host, port, path, table]))
    .digest("hex");
  return join(resolve(journal), `${table}-${place.slice(0, 12)}`);
}
