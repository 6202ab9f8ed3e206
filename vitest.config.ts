import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  // What the server does for plugins from outside, also inside the test runner.
  resolve: {
    alias: { "capstan/testing": source("src/testing/index.ts"), capstan: source("src/contracts/index.ts") },
  },
  test: {
    include: ["tests/**/*.test.ts"],
    // Real peers are started by `npm run test:peers` alone.
    exclude: ["tests/peers/**"],
    // Processes: native runs in worker threads abort the process when a thread is terminated.
    pool: "forks",
    maxWorkers: Math.min(4, availableParallelism()),
    testTimeout: 20_000,
    hookTimeout: 30_000,
    coverage: {
      provider: "v8",
      include: ["{src,runtimes,adapters,resolvers,memory}/**/*.ts"],
      exclude: ["**/generated/**", "**/*.d.ts", "src/grpc/generate.ts", "src/grpc/generate/**"],
      reporter: ["text-summary", "json-summary", "html"],
      thresholds: { lines: 90 },
    },
  },
});
