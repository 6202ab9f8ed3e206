/** G1 to G3: the methods of the service, their failures, health and reflection. */
import { status } from "@grpc/grpc-js";
import { Health, ServerReflection, GRPCInferenceService as Service } from "../../grpc/generated/services.ts";
import { type Check, checksFrom } from "../define.ts";
import { expect, expectEqual, record, shown } from "../expect.ts";
import { codeName, expectGrpcOk, expectGrpcRefused, type GrpcReply } from "../grpc-client.ts";
import { modelInfer, rawRequest, typedRequest } from "../grpc-tensors.ts";
import { expectOk } from "../http-client.ts";
import { sampleInputs } from "../samples.ts";
import { modelPath, type Session } from "../session.ts";
import { extension, grpc, practice } from "../sources.ts";

const NOBODY = "no-such-model";
const service = checksFrom(grpc("GRPCInferenceService"), ["grpc", "target"]);
const codes = checksFrom(practice("gRPC status codes, as their documentation defines them"), [
  "grpc",
  "target",
]);
const standard = checksFrom(practice("standard services of gRPC"), ["grpc"]);

async function metadataAgrees(session: Session): Promise<void> {
  const { name } = session.target;
  const reply = await session.grpc.unary(Service.ModelMetadata, { name });
  const { inputs, outputs, versions } = expectGrpcOk(reply, "ModelMetadata");
  const rest = record(expectOk(await session.http.get(modelPath(name)), "metadata").json(), "metadata");
  expectEqual(versions, rest.versions ?? [], "versions, gRPC against REST");
  const plain = (specs: typeof inputs): object[] =>
    specs.map((spec) => ({ name: spec.name, datatype: spec.datatype, shape: spec.shape.map(Number) }));
  const known = (specs: readonly { name: string; datatype: string; shape: readonly number[] }[]): object[] =>
    specs.map((spec) => ({ name: spec.name, datatype: spec.datatype, shape: spec.shape }));
  expectEqual(plain(inputs), known(session.target.inputs), "inputs, gRPC against REST");
  expectEqual(plain(outputs), known(session.target.outputs), "outputs, gRPC against REST");
}

/** OK, or a refusal that says so: a method that is declared answers something. */
function answeredOrRefused(reply: GrpcReply<unknown>, what: string): void {
  if (reply.code !== status.OK) expectGrpcRefused(reply, what);
}

function expectCode(reply: GrpcReply<unknown>, code: number, what: string): void {
  expectEqual(codeName(reply.code), codeName(code), what);
}

async function badInputCode(session: Session): Promise<void> {
  const { name } = session.target;
  const inputs = sampleInputs(session.target);
  const unknown = { name: "no_such_input", datatype: "FP32", shape: [1], data: [1] } as const;
  const requests = [rawRequest(name, [...inputs, unknown]), rawRequest(name, inputs.slice(1))];
  for (const request of requests)
    expectCode(await modelInfer(session, request), status.INVALID_ARGUMENT, "status");
}

async function unknownModel(session: Session): Promise<GrpcReply<unknown>[]> {
  const request = rawRequest(NOBODY, sampleInputs(session.target));
  const metadata = await session.grpc.unary(Service.ModelMetadata, { name: NOBODY });
  return [metadata, await modelInfer(session, request)];
}

async function reflects(session: Session): Promise<void> {
  const reply = await session.grpc.stream(ServerReflection.ServerReflectionInfo, [{ listServices: "" }]);
  const names = reply.messages.flatMap(({ listServicesResponse }) =>
    (listServicesResponse?.service ?? []).map(({ name }) => name),
  );
  expect(
    names.includes("inference.GRPCInferenceService"),
    `services: ${shown(names)}, ${codeName(reply.code)}`,
  );
}

export const grpcServiceChecks: readonly Check[] = [
  service.must("G1.live", "ServerLive is true", async (s) => {
    expectEqual(expectGrpcOk(await s.grpc.unary(Service.ServerLive, {}), "ServerLive").live, true, "live");
  }),
  service.must("G1.ready", "ServerReady is true", async (s) => {
    expectEqual(
      expectGrpcOk(await s.grpc.unary(Service.ServerReady, {}), "ServerReady").ready,
      true,
      "ready",
    );
  }),
  service.must("G1.model-ready", "ModelReady is true", async (s) => {
    const reply = await s.grpc.unary(Service.ModelReady, { name: s.target.name });
    expectEqual(expectGrpcOk(reply, "ModelReady").ready, true, "ready");
  }),
  service.must("G1.server-metadata", "ServerMetadata is that of REST", async (s) => {
    const { name, version, extensions } = expectGrpcOk(
      await s.grpc.unary(Service.ServerMetadata, {}),
      "metadata",
    );
    expectEqual([name, version], [s.facts.serverName, s.facts.serverVersion], "name and version");
    expectEqual(extensions, [...s.facts.extensions], "extensions");
  }),
  service.must("G1.model-metadata", "ModelMetadata is that of REST", metadataAgrees),
  service.must("G1.infer", "ModelInfer answers", async (s) => {
    expectGrpcOk(await modelInfer(s, typedRequest(s.target.name, sampleInputs(s.target))), "ModelInfer");
  }),
  checksFrom(extension("shared_memory", "gRPC"), ["grpc"]).should(
    "G1.shared-memory",
    "shared memory answers, or is refused with a message",
    async (s) => {
      const system = await s.grpc.unary(Service.SystemSharedMemoryStatus, {});
      answeredOrRefused(system, "SystemSharedMemoryStatus");
      answeredOrRefused(await s.grpc.unary(Service.CudaSharedMemoryStatus, {}), "CudaSharedMemoryStatus");
    },
  ),
  standard.should("G1.health", "grpc.health.v1 says SERVING", async (s) => {
    expectEqual(expectGrpcOk(await s.grpc.unary(Health.Check, {}), "Health.Check").status, 1, "status");
  }),
  standard.should("G1.reflection", "server reflection lists the service", reflects),
  service.must("G2.unknown-model", "an unknown model is an error with a message", async (s) => {
    for (const reply of await unknownModel(s)) expectGrpcRefused(reply, "an unknown model");
  }),
  codes.should("G2.not-found", "an unknown model is NOT_FOUND", async (s) => {
    for (const reply of await unknownModel(s)) expectCode(reply, status.NOT_FOUND, "status");
  }),
  codes.should("G2.invalid-argument", "wrong inputs are INVALID_ARGUMENT", badInputCode),
  codes.should("G3.unknown-not-ready", "ModelReady of an unknown model is OK with ready false", async (s) => {
    const reply = await s.grpc.unary(Service.ModelReady, { name: NOBODY });
    expectEqual(expectGrpcOk(reply, "ModelReady").ready, false, "ready");
  }),
];
