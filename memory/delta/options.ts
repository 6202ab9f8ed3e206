import { homedir } from "node:os";
import { join } from "node:path";
import { z } from "zod";

const PART = "[A-Za-z_][A-Za-z0-9_-]*";
const TABLE_TEXT = "must be table, schema.table or catalog.schema.table";

export const options = z.strictObject({
  /** Of the workspace, without https://. */
  host: z.string().regex(/^[\w.-]+$/, "must be a host name, without https:// and path"),
  port: z.int().min(1).max(65_535).default(443),
  /** The HTTP path of a SQL warehouse, as its connection details show it. */
  path: z.string().min(1),
  token: z.string().min(1),
  /** Made at first use when it is not there. */
  table: z.string().regex(new RegExp(`^${PART}(\\.${PART}){0,2}$`), TABLE_TEXT),
  /** A PEM file: the authority that the host's certificate is of; absent: those that Node knows. */
  ca: z.string().min(1).optional(),
  /** Folder on this machine for what is not in the table yet. */
  journal: z.string().min(1).default(join(homedir(), ".cache/capstan/delta-journal")),
});

export type DeltaOptions = z.output<typeof options>;
