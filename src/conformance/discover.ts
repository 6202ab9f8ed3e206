/** What the server says of itself, before the checks: metadata, models, extensions that answer. */
import { isDatatype, type TensorSpec } from "../contracts/index.ts";
import { GRPCInferenceService } from "../grpc/generated/services.ts";
import { cut, isRecord } from "./expect.ts";
import { HALF_NAME, REFERENCE_NAME } from "./reference-model.ts";
import { sampleInputs } from "./samples.ts";
import { type Connections, inferPath, modelPath, Session } from "./session.ts";
import type { Facts, IndexEntry, Target } from "./types.ts";

/** gRPC status codes. */
const UNIMPLEMENTED = 12;
const UNAVAILABLE = 14;

/** Each candidate is asked once, so a large repository is not asked in full. */
const MOST_CANDIDATES = 20;

const NOTHING: Facts = {
  serverName: "",
  serverVersion: "",
  extensions: new Set(),
  index: [],
  answers: new Set(),
  grpc: false,
  grpcStream: false,
  mayWrite: false,
};

export interface DiscoverOptions {
  readonly model?: string;
  readonly mayWrite: boolean;
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}

function specOf(value: unknown): TensorSpec[] {
  if (!isRecord(value) || typeof value.name !== "string" || !isDatatype(value.datatype)) return [];
  const shape = Array.isArray(value.shape) ? value.shape.map(Number) : [];
  const optional = value.optional === true;
  return [{ name: value.name, datatype: value.datatype, shape, ...(optional ? { optional } : {}) }];
}

function specsOf(value: unknown): TensorSpec[] {
  return Array.isArray(value) ? value.flatMap(specOf) : [];
}

/** Everything after discovery is asked with sessions; here a failure is an absent fact. */
class Probe {
  readonly #session: Session;

  constructor(connections: Connections) {
    this.#session = new Session(connections, NOTHING, AbortSignal.timeout(30_000));
  }

  async json(method: string, path: string, body?: unknown): Promise<unknown> {
    const reply = await this.#session.http.send(method, path, body === undefined ? {} : { json: body });
    return reply.status === 200 ? reply.json() : undefined;
  }

  async answers(method: string, path: string): Promise<boolean> {
    const body = method === "POST" ? { json: {} } : {};
    return (await this.#session.http.send(method, path, body)).status === 200;
  }

  async index(): Promise<IndexEntry[]> {
    const list = await this.json("POST", "/v2/repository/index", {}).catch(() => undefined);
    return Array.isArray(list) ? list.filter((item): item is IndexEntry => isRecord(item)) : [];
  }

  async model(name: string): Promise<Target | undefined> {
    const metadata = await this.json("GET", modelPath(name));
    if (!isRecord(metadata)) return undefined;
    const { inputs, outputs, versions } = metadata;
    return { name, versions: strings(versions), inputs: specsOf(inputs), outputs: specsOf(outputs) };
  }

  /** Nothing, or why the model is no use for checks. */
  async problem(model: Target): Promise<string | undefined> {
    if (model.inputs.length === 0) return `the metadata of '${model.name}' names no inputs`;
    const reply = await this.#session.http.post(inferPath(model.name), { inputs: sampleInputs(model) });
    if (reply.status === 200) return undefined;
    return `'${model.name}' refused a request made from its signature: ${reply.status} ${cut(reply.text, 200)}`;
  }

  /** @throws where nothing answers at the gRPC address. */
  async expectGrpc(): Promise<void> {
    const reply = await this.#session.grpc.unary(GRPCInferenceService.ServerLive, {}, { deadlineMs: 5000 });
    if (reply.code === UNAVAILABLE) throw new Error(`gRPC: ${reply.details}`);
  }

  async streams(model: string): Promise<boolean> {
    const request = { modelName: model, inputs: [] };
    const reply = await this.#session.grpc.stream(GRPCInferenceService.ModelStreamInfer, [request], {
      deadlineMs: 5000,
    });
    return reply.code !== UNIMPLEMENTED;
  }
}

function isGenerator({ inputs, outputs }: Target): boolean {
  const named = (specs: readonly TensorSpec[], name: string): boolean => specs.some((s) => s.name === name);
  return named(inputs, "text_input") && named(outputs, "text_output");
}

interface Models {
  readonly target?: Target;
  readonly targetProblem?: string;
  readonly reference?: Target;
  readonly single?: Target;
  readonly generator?: string;
}

function candidates(index: readonly IndexEntry[], wanted: string | undefined): string[] {
  const ready = index.filter(({ state }) => state === undefined || state === "READY");
  const names = ready.map(({ name }) => name).filter((name) => name !== HALF_NAME);
  return [
    ...new Set([...(wanted === undefined ? [REFERENCE_NAME] : [wanted, REFERENCE_NAME]), ...names]),
  ].slice(0, MOST_CANDIDATES);
}

async function chooseModels(probe: Probe, names: readonly string[], wanted?: string): Promise<Models> {
  const problems: string[] = [];
  const usable: Target[] = [];
  let generator: string | undefined;
  for (const name of names) {
    const model = await probe.model(name);
    if (model && isGenerator(model)) generator ??= name;
    else if (model) {
      const problem = await probe.problem(model);
      if (problem === undefined) usable.push(model);
      else problems.push(problem);
    } else if (name === wanted) problems.push(`the model '${name}' has no metadata`);
  }
  const target = wanted === undefined ? usable[0] : usable.find(({ name }) => name === wanted);
  const targetProblem = problems[0] ?? "no model with a known signature was found; name one with --model";
  const reference = usable.find(({ name }) => name === REFERENCE_NAME);
  const single = usable.find(({ inputs }) => inputs.length === 1 && inputs[0]?.datatype !== "BYTES");
  return {
    ...(target ? { target } : { targetProblem }),
    ...(reference ? { reference } : {}),
    ...(single ? { single } : {}),
    ...(generator === undefined ? {} : { generator }),
  };
}

/** Whether each extension answers, whatever the metadata says of it. */
async function answering(probe: Probe, target: Target | undefined): Promise<Set<string>> {
  const path = modelPath(target?.name ?? "none");
  const routes: [string, string, string][] = [
    ["model_repository", "POST", "/v2/repository/index"],
    ["statistics", "GET", `${path}/stats`],
    ["model_configuration", "GET", `${path}/config`],
    ["trace", "GET", "/v2/trace/setting"],
    ["logging", "GET", "/v2/logging"],
    ["system_shared_memory", "GET", "/v2/systemsharedmemory/status"],
    ["cuda_shared_memory", "GET", "/v2/cudasharedmemory/status"],
  ];
  const found = new Set<string>();
  for (const [name, method, route] of routes) if (await probe.answers(method, route)) found.add(name);
  return found;
}

/** @throws where nothing answers at the address. */
export async function discover(connections: Connections, options: DiscoverOptions): Promise<Facts> {
  const probe = new Probe(connections);
  const metadata = await probe.json("GET", "/v2");
  const { name, version, extensions } = isRecord(metadata) ? metadata : {};
  const index = await probe.index();
  const models = await chooseModels(probe, candidates(index, options.model), options.model);
  const half = await probe.model(HALF_NAME);
  const single = models.single ?? half;
  const grpc = connections.channel !== undefined;
  if (grpc) await probe.expectGrpc();
  return {
    serverName: typeof name === "string" ? name : "",
    serverVersion: typeof version === "string" ? version : "",
    extensions: new Set(strings(extensions)),
    index,
    ...models,
    ...(half ? { half } : {}),
    ...(single ? { single } : {}),
    answers: await answering(probe, models.target),
    grpc,
    grpcStream: grpc && (await probe.streams(models.target?.name ?? "none")),
    mayWrite: options.mayWrite,
  };
}
