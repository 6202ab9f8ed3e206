import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { writeReferenceModels } from "../../../src/conformance/reference-model.ts";
import { SAMPLES, TestRepository } from "../../support/server.ts";

const MAIN = fileURLToPath(new URL("../../../src/cli/main.ts", import.meta.url));
const ARGUMENTS = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"];

/** Models of code, for what ONNX models cannot do. */
const CODE: Readonly<Record<string, string>> = {
  echo: "export default { infer: ({ inputs }) => ({ outputs: inputs }) };",
  waits: `export default { infer: (_, { signal }) => new Promise((_, reject) =>
    signal.addEventListener("abort", () => reject(signal.reason))) };`,
  words: `
    import { CapstanError, textOf, textTensor } from "capstan";
    export default class {
      inputs = [{ name: "text", datatype: "BYTES", shape: [1] }];
      outputs = [{ name: "word", datatype: "BYTES", shape: [1] }];
      infer({ inputs: [text] }) { return { outputs: [textTensor("word", textOf(text.data))] } }
      async *inferStream({ inputs: [text] }) {
        for (const word of textOf(text.data)[0].split(" ")) {
          if (word === "fail") throw new CapstanError("INVALID_ARGUMENT", "The model was asked to fail");
          yield { outputs: [textTensor("word", [word])] };
        }
      }
    }`,
};

/** A server as its users start it: a process of its own. */
export interface Capstan extends AsyncDisposable {
  /** `host:port`. */
  readonly http: string;
  readonly grpc: string;
}

/** Serves the samples, the reference models, models of code, and one that does not load. */
export async function startCapstan(): Promise<Capstan> {
  await using opened = new AsyncDisposableStack();
  const repository = opened.use(await writeRepository());
  const args = [MAIN, "start", repository.root, ...ARGUMENTS];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  opened.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill();
    await exited;
  });
  const { http, grpc } = await readyLine(child.stdout);
  const running = opened.move();
  return { http, grpc, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

async function writeRepository(): Promise<TestRepository> {
  const repository = await TestRepository.create();
  await cp(SAMPLES, repository.root, { recursive: true });
  await writeFile(repository.path("settings.json"), JSON.stringify({ readiness: "settled" }));
  await writeReferenceModels(repository.root);
  const broken = { name: "broken", implementation: "onnx", parameters: { uri: "./model.onnx" } };
  await repository.write("broken", broken, Buffer.from("no ONNX file"));
  for (const [name, code] of Object.entries(CODE)) {
    await mkdir(repository.path(name));
    await writeFile(join(repository.path(name), `${name}.ts`), code);
    await repository.write(name, { name, implementation: `./${name}.ts` });
  }
  return repository;
}

async function readyLine(output: NodeJS.ReadableStream): Promise<Record<"http" | "grpc", string>> {
  const { promise, resolve, reject } = Promise.withResolvers<Record<"http" | "grpc", string>>();
  const lines = createInterface({ input: output });
  lines.on("line", (line) => {
    const said = JSON.parse(line) as { msg: string; http: string; grpc: string };
    if (said.msg === "ready") resolve(said);
  });
  lines.on("close", () => reject(new Error("the server ended before it was ready")));
  return promise;
}
