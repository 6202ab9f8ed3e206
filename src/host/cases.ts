import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { type Call, CapstanError, type Runtime, type Tensor } from "../contracts/index.ts";
import { decodeJsonRequest } from "../v2/index.ts";
import { checkRequest } from "./check-request.ts";

/** A folder's own reference answers: `cases.json` beside `model-settings.json`. */
export const CASES_FILE = "cases.json";

const tensors = z.array(z.looseObject({ name: z.string() })).min(1);
const casesSchema = z.object({
  tolerance: z.object({ rtol: z.number().default(1e-4), atol: z.number().default(1e-5) }).prefault({}),
  cases: z.array(z.object({ name: z.string(), inputs: tensors, outputs: tensors })).min(1),
});

type CasesFile = z.output<typeof casesSchema>;
type Tolerance = CasesFile["tolerance"];
type Case = CasesFile["cases"][number];

/**
 * Runs the reference cases of a model folder, if it has any, and returns how many there were.
 * @throws CapstanError LOAD_FAILED naming the case, the output, the element and both values.
 */
export async function runCases(folder: string, runtime: Runtime, call: Call): Promise<number> {
  const file = join(folder, CASES_FILE);
  const text = await readFile(file, "utf8").catch(ignoreMissing);
  if (text === undefined) return 0;
  const parsed = parseCases(file, text);
  for (const reference of parsed.cases) await runCase(file, reference, parsed.tolerance, runtime, call);
  return parsed.cases.length;
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}

function parseCases(file: string, text: string): CasesFile {
  try {
    return casesSchema.parse(JSON.parse(text));
  } catch (cause) {
    const why = cause instanceof z.ZodError ? z.prettifyError(cause) : String(cause);
    throw new CapstanError("LOAD_FAILED", `${file}: ${why}`, { cause });
  }
}

async function runCase(file: string, reference: Case, tolerance: Tolerance, runtime: Runtime, call: Call) {
  try {
    const request = checkRequest(runtime, decodeTensors(reference.inputs));
    const response = await runtime.infer(request, call);
    for (const expected of decodeTensors(reference.outputs).inputs) {
      compareTensor(
        response.outputs.find((output) => output.name === expected.name),
        expected,
        tolerance,
      );
    }
  } catch (cause) {
    if (call.signal.aborted) throw call.signal.reason;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CapstanError("LOAD_FAILED", `${file}: case '${reference.name}': ${why}`, { cause });
  }
}

/** Expected outputs are written like inputs, so one decoder reads both. */
const decodeTensors = (inputs: Case["inputs"]) => decodeJsonRequest(Buffer.from(JSON.stringify({ inputs })));

function compareTensor(actual: Tensor | undefined, expected: Tensor, tolerance: Tolerance): void {
  const where = `output '${expected.name}'`;
  if (actual === undefined) throw new Error(`${where} is missing`);
  for (const field of ["datatype", "shape"] as const) {
    const [got, want] = [String(actual[field]), String(expected[field])];
    if (got !== want) throw new Error(`${where}: ${field} is ${got}, expected ${want}`);
  }
  for (let i = 0; i < expected.data.length; i++) {
    const [got, want] = [actual.data[i]!, expected.data[i]!];
    if (!close(got, want, tolerance))
      throw new Error(`${where}[${i}] is ${shown(got)}, expected ${shown(want)}`);
  }
}

type Element = number | bigint | Uint8Array;

function close(actual: Element, expected: Element, { rtol, atol }: Tolerance): boolean {
  if (typeof actual === "number" && typeof expected === "number") {
    return Object.is(actual, expected) || Math.abs(actual - expected) <= atol + rtol * Math.abs(expected);
  }
  if (actual instanceof Uint8Array && expected instanceof Uint8Array)
    return Buffer.compare(actual, expected) === 0;
  return actual === expected;
}

const shown = (value: Element) =>
  value instanceof Uint8Array ? Buffer.from(value).toString() : String(value);
