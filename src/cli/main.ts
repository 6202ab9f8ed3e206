#!/usr/bin/env node
import { enableCompileCache } from "node:module";

// onnxruntime sends usage data to its maker unless it is told not to before it is loaded.
process.env.ORT_DISABLE_TELEMETRY ??= "1";
// Before anything else is imported: later starts skip most of the compiling and type stripping.
enableCompileCache();
const { run } = await import("./program.ts");
process.exitCode = await run(process.argv.slice(2));
