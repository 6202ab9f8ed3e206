import { defineResolver } from "../../src/contracts/index.ts";
import { type S3Options, s3Options } from "./options.ts";

/** Objects below `s3://bucket/prefix`; numbered folders there are versions. */
export default defineResolver<S3Options>({
  name: "s3",
  schemes: ["s3"],
  options: s3Options,
  async open(options) {
    const { S3Resolver } = await import("./resolver.ts");
    return new S3Resolver(options);
  },
});
