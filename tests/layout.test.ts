import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { type Import, PLUGIN_FOLDERS, ROOT, type SourceFile, sourceFiles } from "./support/source-files.ts";

const code = sourceFiles(["src", ...PLUGIN_FOLDERS]);
const everything = [...code, ...sourceFiles(["tests", "bench", ".ci"])];

/** Who may import whom in `src`; `src/cli` composes them all. A new folder of `src` needs a line here. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  contracts: [],
  settings: ["contracts"],
  v2: ["contracts"],
  telemetry: ["contracts"],
  host: ["contracts", "settings", "v2", "telemetry"],
  http: ["contracts", "settings", "v2", "telemetry", "host"],
  grpc: ["contracts", "settings", "v2", "telemetry", "host"],
  conformance: ["contracts", "v2", "grpc/generated", "grpc/wire.ts"],
  testing: ["contracts"],
  store: ["contracts", "settings"],
  access: ["contracts", "settings", "telemetry", "host", "store"],
  records: ["contracts", "settings", "telemetry", "host", "store"],
  gateway: [
    ...["contracts", "settings", "v2", "telemetry", "host", "http"],
    ...["grpc/generated", "grpc/wire.ts", "grpc/parameters.ts", "grpc/typed-contents.ts"],
    "grpc/stream-message.ts",
  ],
  cli: [
    "contracts",
    "settings",
    "v2",
    "telemetry",
    "host",
    "http",
    "grpc",
    "conformance",
    "gateway",
    "store",
    "access",
    "records",
  ],
};

/** What a plugin may import of `src` besides the contracts: one speaks V2 itself, to another server. */
const WIRE_FORMATS: Readonly<Record<string, readonly string[]>> = {
  "runtimes/remote": [
    "src/v2",
    "src/grpc/generated",
    "src/grpc/wire.ts",
    "src/grpc/parameters.ts",
    "src/grpc/typed-contents.ts",
    "src/grpc/stream-message.ts",
  ],
};

const TOP_LEVEL = [
  ...["src", ...PLUGIN_FOLDERS, "model-settings"],
  ...["bench", "deploy", "docs", "examples", "tests"],
];
/** Made by tools, and named in .gitignore. */
const UNTRACKED = ["node_modules", "dist", "coverage"];

/** Writes generated files: run from a checkout, left out of the package, and may import devDependencies. */
const DEVELOPMENT = ["src/grpc/generate", "src/cli/schemas.ts"];

const MAX_LINES = 400;

const manifest = JSON.parse(readFileSync(path.join(ROOT, "package.json"), "utf8")) as {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly bin: Readonly<Record<string, string>>;
};

/** Every import that `allowed` refuses, as `file -> specifier`. */
function refused(
  files: readonly SourceFile[],
  allowed: (file: string, imported: Import) => boolean,
): string[] {
  return files.flatMap(({ file, imports }) =>
    imports.filter((imported) => !allowed(file, imported)).map(({ specifier }) => `${file} -> ${specifier}`),
  );
}

const inFolder = (file: string | undefined, folder: string) =>
  file === folder || (file?.startsWith(`${folder}/`) ?? false);

/** `runtimes/onnx` of `runtimes/onnx/session.ts` and of `runtimes/onnx.ts`. */
const pluginOf = (file: string) => file.split("/").slice(0, 2).join("/").replace(/\.ts$/, "");
const isPluginEntry = (file: string) =>
  file === `${pluginOf(file)}.ts` || file === `${pluginOf(file)}/index.ts`;

const plugins = code.filter(({ file }) => !inFolder(file, "src"));
const core = code.filter(({ file }) => inFolder(file, "src"));

describe("who imports whom", () => {
  it("has a rule for every folder of src", () => {
    const areas = new Set(core.map(({ file }) => file.split("/")[1] ?? ""));
    expect([...areas].filter((area) => !Object.hasOwn(ALLOWED, area))).toEqual([]);
  });

  it.each(Object.entries(ALLOWED))("src/%s imports only its own files and %j", (area, others) => {
    const folders = [area, ...others].map((folder) => `src/${folder}`);
    const files = core.filter(({ file }) => inFolder(file, `src/${area}`));
    const outside = refused(
      files,
      (_, { file }) => file === undefined || folders.some((folder) => inFolder(file, folder)),
    );
    expect(outside).toEqual([]);
  });

  it("lets contracts import no package, and the contract kits only Node's own modules", () => {
    const bare = (area: string) => core.filter(({ file }) => inFolder(file, `src/${area}`));
    expect(refused(bare("contracts"), (_, { file }) => file !== undefined)).toEqual([]);
    expect(refused(bare("testing"), (_, { specifier }) => /^(\.|node:)/.test(specifier))).toEqual([]);
  });

  it("lets a plugin import only contracts, its own folder and packages", () => {
    const outside = refused(plugins, (from, { file }) => {
      const folders = ["src/contracts", pluginOf(from), ...(WIRE_FORMATS[pluginOf(from)] ?? [])];
      return file === undefined || folders.some((folder) => inFolder(file, folder));
    });
    expect(outside).toEqual([]);
  });

  it("names only files that exist", () => {
    const missing = refused(
      everything,
      (_, { file }) => file === undefined || existsSync(path.join(ROOT, file)),
    );
    expect(missing).toEqual([]);
  });

  it("has no cycle of files; types alone may form one inside contracts", () => {
    expect(findCycle(code)).toEqual([]);
  });
});

describe("files", () => {
  it(`have at most ${MAX_LINES} lines`, () => {
    const long = everything.filter(({ text }) => text.split("\n").length > MAX_LINES);
    expect(long.map(({ file }) => file)).toEqual([]);
  });

  it("have a default export where they are a plugin, and nowhere else", () => {
    const entries = plugins.map(({ file }) => file).filter(isPluginEntry);
    const withDefault = code.filter(({ text }) => /^export (default\b|\{[^}]*\bas default\b)/m.test(text));
    expect(withDefault.map(({ file }) => file).toSorted()).toEqual(entries.toSorted());
  });

  it("lie in the folders that ARCHITECTURE.md names", () => {
    const entries = readdirSync(ROOT, { withFileTypes: true });
    const folders = entries
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith("."))
      .map(({ name }) => name)
      .filter((name) => !UNTRACKED.includes(name));
    expect(folders.filter((name) => !TOP_LEVEL.includes(name))).toEqual([]);
    expect(folders.filter((name) => !architecture().includes(`${name}/`))).toEqual([]);
  });
});

describe("package.json", () => {
  const dependencies = Object.keys(manifest.dependencies);

  it("has a line in ARCHITECTURE.md for every dependency", () => {
    const lines = architecture().split("\n");
    const named = (name: string) => lines.some((line) => line.includes(`\`${name}\``));
    expect(dependencies.filter((name) => !named(name))).toEqual([]);
  });

  it("has only dependencies that the server or a plugin imports", () => {
    const imported = new Set(code.flatMap(({ imports }) => imports.map(packageOf)));
    expect(dependencies.filter((name) => !imported.has(name))).toEqual([]);
  });

  it("has every package that the server or a plugin imports", () => {
    const known = { ...manifest.dependencies, ...manifest.peerDependencies };
    const shipped = code.filter(({ file }) => !DEVELOPMENT.some((start) => file.startsWith(start)));
    const unknown = refused(
      shipped,
      (_, imported) => /^(\.|node:)/.test(imported.specifier) || Object.hasOwn(known, packageOf(imported)),
    );
    expect(unknown).toEqual([]);
  });

  it("points at files that the build makes from sources that are there", () => {
    const targets = [...Object.values(manifest.exports), manifest.bin].flatMap((entry) =>
      typeof entry === "string" ? [entry] : Object.values(entry),
    );
    const built = targets.filter((target) => target.includes("dist/"));
    const source = (target: string) => target.replace("dist/", "").replace(/(\.d\.ts|\.js)$/, ".ts");
    expect(built).not.toEqual([]);
    expect(built.filter((target) => !existsSync(path.join(ROOT, source(target))))).toEqual([]);
  });
});

function architecture(): string {
  return readFileSync(path.join(ROOT, "ARCHITECTURE.md"), "utf8");
}

/** `@scope/name` of `@scope/name/sub/path`. */
function packageOf({ specifier }: Import): string {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

/** The files of one cycle, the first again at its end; empty when there is none. */
function findCycle(files: readonly SourceFile[]): string[] {
  const graph = new Map(files.map((source) => [source.file, edges(source)]));
  const done = new Set<string>();
  const visit = (file: string, trail: readonly string[]): string[] => {
    if (trail.includes(file)) return [...trail.slice(trail.indexOf(file)), file];
    if (done.has(file)) return [];
    const found = (graph.get(file) ?? []).map((next) => visit(next, [...trail, file]));
    done.add(file);
    return found.find((cycle) => cycle.length > 0) ?? [];
  };
  const cycles = files.map(({ file }) => visit(file, []));
  return cycles.find((cycle) => cycle.length > 0) ?? [];
}

function edges({ file, imports }: SourceFile): string[] {
  const inContracts = (name: string) => inFolder(name, "src/contracts");
  return imports.flatMap((imported) => {
    if (imported.file === undefined) return [];
    return imported.typeOnly && inContracts(file) && inContracts(imported.file) ? [] : [imported.file];
  });
}
