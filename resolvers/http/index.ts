import { defineResolver } from "../../src/contracts/index.ts";
import { type HttpOptions, httpOptions } from "./options.ts";

/** A file or an archive behind `http:` or `https:`. */
export default defineResolver<HttpOptions>({
  name: "http",
  schemes: ["http", "https"],
  options: httpOptions,
  async open(options) {
    const { HttpResolver } = await import("./resolver.ts");
    return new HttpResolver(options);
  },
});
