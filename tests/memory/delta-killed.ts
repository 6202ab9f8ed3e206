/** A server that is killed between two writes: its warehouse never answers. The options come as its argument. */
import { openDelta } from "../../memory/delta/open.ts";
import type { DeltaOptions } from "../../memory/delta/options.ts";
import { testCall } from "../../src/testing/call.ts";

const options = JSON.parse(process.argv[2]!) as DeltaOptions;
const memory = await openDelta(options, () => new Promise(() => {}));
for (const id of ["before", "after"]) {
  await memory.append({ owner: "ann", id: "talk" }, [{ id, at: 1, messages: [] }], testCall());
}
process.stdout.write("appended");
setInterval(() => {}, 1000);
