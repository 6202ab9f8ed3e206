import ms, { type StringValue } from "ms";
import { z } from "zod";
import { defineResolver, type Located, type Resolver } from "../../src/contracts/index.ts";
import { locateFiles } from "./locate.ts";
import { copyFiles } from "./walk.ts";

const settle = z
  .string()
  .regex(/^(0|\d+(\.\d+)?(ms|s|m))$/, 'must be a duration such as "500ms" or "2s", or "0"')
  .transform((text) => ms(text as StringValue))
  .refine((value) => value <= 10 * 60_000, "must be at most 10m");

/**
 * Files and folders of this machine: `file:///absolute/path`. They are served where they are. A folder of versions
 * (`1/`, `2/`) stands for its highest one that is complete.
 */
export default defineResolver({
  name: "file",
  schemes: ["file"],
  options: z.strictObject({
    /** A version is taken when nothing in it has changed for so long. */
    settle: settle.prefault("2s"),
  }),
  async open({ settle }): Promise<Resolver> {
    return {
      locate: (uri, call) => locateFiles(uri, settle, call),
      fetch: ({ location }: Located, directory, call) => copyFiles(location, directory, call),
      async [Symbol.asyncDispose]() {},
    };
  },
});
