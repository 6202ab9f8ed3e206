#!/usr/bin/env node
import { enableCompileCache } from "node:module";

// Before anything else is imported: later starts skip most of the compiling and type stripping.
enableCompileCache();
const { run } = await import("./program.ts");
process.exitCode = await run(process.argv.slice(2));
