/** Repository index, statistics, configuration: what only reads. */
import { GRPCInferenceService as Service } from "../../grpc/generated/services.ts";
import { type Check, checksFrom } from "../define.ts";
import { array, expect, expectEqual, isRecord, record, shown, string } from "../expect.ts";
import { expectGrpcOk } from "../grpc-client.ts";
import { expectOk, expectRefused } from "../http-client.ts";
import { sampleInputs } from "../samples.ts";
import { modelPath, type Session } from "../session.ts";
import { extension } from "../sources.ts";

const repository = checksFrom(extension("model_repository", "Index"), ["repository"]);
const repositoryGrpc = checksFrom(extension("model_repository", "Index"), ["repository", "grpc"]);
const statistics = checksFrom(extension("statistics", "HTTP/REST"), ["target", "statistics"]);
const statisticsGrpc = checksFrom(extension("statistics", "gRPC"), ["target", "statistics", "grpc"]);
const configuration = checksFrom(extension("model_configuration", "HTTP/REST"), ["target", "configuration"]);
const configurationGrpc = checksFrom(extension("model_configuration", "gRPC"), [
  "target",
  "configuration",
  "grpc",
]);

const STATES = new Set(["UNKNOWN", "READY", "UNAVAILABLE", "LOADING", "UNLOADING"]);
const INDEX = "/v2/repository/index";
const REQUESTS = 3;

async function index(session: Session, json?: object): Promise<Record<string, unknown>[]> {
  const reply = await session.http.send("POST", INDEX, json === undefined ? {} : { json });
  return array(expectOk(reply, `POST ${INDEX}`).json(), "the index").map((entry) =>
    record(entry, "an entry"),
  );
}

async function indexIsWellFormed(session: Session): Promise<void> {
  for (const { name, state } of await index(session, {})) {
    string(name, "name");
    if (state !== undefined) expect(STATES.has(String(state)), `state of '${name}': ${shown(state)}`);
  }
}

async function onlyReady(session: Session): Promise<void> {
  const other = (await index(session, { ready: true })).filter(
    ({ state }) => state !== undefined && state !== "READY",
  );
  expect(other.length === 0, `not ready, but listed: ${shown(other)}`);
}

async function indexesAgree(session: Session): Promise<void> {
  const { models } = expectGrpcOk(await session.grpc.unary(Service.RepositoryIndex, {}), "RepositoryIndex");
  const names = (entries: readonly { name?: unknown }[]): string[] =>
    entries.map(({ name }) => String(name)).toSorted();
  expectEqual(names(models), names(await index(session, {})), "names, gRPC against REST");
}

const DURATIONS = [
  "success",
  "fail",
  "queue",
  "compute_input",
  "compute_infer",
  "compute_output",
  "cache_hit",
  "cache_miss",
];

async function statsOf(session: Session, path: string): Promise<Record<string, unknown>> {
  const body = record(expectOk(await session.http.get(path), `GET ${path}`).json(), "statistics");
  const mine = array(body.model_stats, "model_stats").find(
    (one) => isRecord(one) && one.name === session.target.name,
  );
  return record(mine, `statistics of '${session.target.name}'`);
}

function durationCount(stats: Record<string, unknown>, name: string): number {
  const duration = record(record(stats.inference_stats, "inference_stats")[name], name);
  expect(typeof duration.ns === "number", `${name}.ns must be a number, got ${shown(duration.ns)}`);
  expect(typeof duration.count === "number", `${name}.count must be a number, got ${shown(duration.count)}`);
  return duration.count;
}

async function statsAreComplete(session: Session): Promise<void> {
  const stats = await statsOf(session, `${modelPath(session.target.name)}/stats`);
  for (const name of ["last_inference", "inference_count", "execution_count"]) {
    expect(typeof stats[name] === "number", `${name} must be a number, got ${shown(stats[name])}`);
  }
  for (const name of DURATIONS) durationCount(stats, name);
  array(stats.batch_stats, "batch_stats");
}

/** Where the counts of the version that answers are, as there may be several. */
async function statsPath(session: Session): Promise<string> {
  const answer = expectOk(
    await session.infer(session.target, { inputs: sampleInputs(session.target) }),
    "infer",
  );
  const version = record(answer.json(), "the answer").model_version;
  const model = modelPath(session.target.name);
  return typeof version === "string" && version !== ""
    ? `${model}/versions/${version}/stats`
    : `${model}/stats`;
}

async function statsCount(session: Session): Promise<void> {
  const path = await statsPath(session);
  const before = await statsOf(session, path);
  for (let round = 0; round < REQUESTS; round += 1) {
    expectOk(await session.infer(session.target, { inputs: sampleInputs(session.target) }), "infer");
  }
  const after = await statsOf(session, path);
  const grown = durationCount(after, "success") - durationCount(before, "success");
  expect(grown >= REQUESTS, `${REQUESTS} requests succeeded, success.count grew by ${grown}`);
  const inferences = Number(after.inference_count) - Number(before.inference_count);
  expect(inferences >= REQUESTS, `${REQUESTS} requests succeeded, inference_count grew by ${inferences}`);
}

async function configNames(session: Session): Promise<void> {
  const path = `${modelPath(session.target.name)}/config`;
  const config = record(expectOk(await session.http.get(path), `GET ${path}`).json(), "the configuration");
  expectEqual(config.name, session.target.name, "name");
}

export const operationChecks: readonly Check[] = [
  repository.must("REPO.index", "the index lists name and a known state", indexIsWellFormed),
  repository.must("REPO.index-no-body", "the index needs no body", async (s) => void (await index(s))),
  repository.must("REPO.index-ready", '{"ready": true} lists only models that are ready', onlyReady),
  repositoryGrpc.must("REPO.grpc-index", "RepositoryIndex lists the same models", indexesAgree),
  statistics.must("STAT.complete", "statistics have every documented member", statsAreComplete),
  statistics.must("STAT.count", "successful requests are counted", statsCount),
  statistics.must(
    "STAT.all",
    "GET /v2/models/stats lists the model",
    async (s) => void (await statsOf(s, "/v2/models/stats")),
  ),
  statistics.must("STAT.unknown", "statistics of an unknown model are an error object", async (s) => {
    expectRefused(await s.http.get(`${modelPath("no-such-model")}/stats`), "statistics");
  }),
  statisticsGrpc.must("STAT.grpc", "ModelStatistics gives the model", async (s) => {
    const { name } = s.target;
    const reply = expectGrpcOk(await s.grpc.unary(Service.ModelStatistics, { name }), "ModelStatistics");
    expectEqual(reply.modelStats[0]?.name, name, "name");
    expect(reply.modelStats[0]?.inferenceStats?.success, "inference_stats.success is absent");
  }),
  configuration.must("CONF.name", "the configuration names the model", configNames),
  configuration.must(
    "CONF.unknown",
    "the configuration of an unknown model is an error object",
    async (s) => {
      expectRefused(await s.http.get(`${modelPath("no-such-model")}/config`), "configuration");
    },
  ),
  configurationGrpc.must("CONF.grpc", "ModelConfig names the model", async (s) => {
    const { name } = s.target;
    const reply = expectGrpcOk(await s.grpc.unary(Service.ModelConfig, { name }), "ModelConfig");
    expectEqual(reply.config?.name, name, "name");
  }),
];
