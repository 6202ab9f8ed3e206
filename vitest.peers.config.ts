import { defineConfig } from "vitest/config";
import own from "./vitest.config.ts";

/** Tests against real servers of other projects, which they install and start themselves. */
export default defineConfig({
  resolve: own.resolve,
  test: {
    include: ["tests/peers/**/*.test.ts"],
    pool: "forks",
    // One after another: the servers are heavy, and share two cores with the tests.
    maxWorkers: 1,
    testTimeout: 120_000,
    hookTimeout: 900_000,
  },
});
