import { defineMemory } from "../../src/contracts/index.ts";
import { connectDatabricks } from "./databricks.ts";
import { openDelta } from "./open.ts";
import { options } from "./options.ts";

/**
 * Conversations in a Delta table of Unity Catalog, for a SQL warehouse to work on. A statement takes seconds, so turns are
 * written behind the answer: to a journal first, from which a crashed server goes on, and to the table then. The next
 * turn of a session waits for that. Replicas see each other's turns when they are in the table.
 */
export default defineMemory({
  name: "delta",
  options,
  open: (given) => openDelta(given, () => connectDatabricks(given)),
});
