import { defineResolver } from "../../src/contracts/index.ts";
import { type UnityCatalogOptions, unityCatalogOptions } from "./options.ts";

/** Models of a Unity Catalog, on Databricks or of the open source server: `uc://catalog.schema.model@alias`. */
export default defineResolver<UnityCatalogOptions>({
  name: "unity-catalog",
  schemes: ["uc"],
  options: unityCatalogOptions,
  async open(options, host) {
    const { UnityCatalogResolver } = await import("./resolver.ts");
    return new UnityCatalogResolver(options, host);
  },
});
