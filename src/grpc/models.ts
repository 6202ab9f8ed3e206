import type { Server } from "@grpc/grpc-js";
import { toCapstanError } from "../contracts/index.ts";
import { withSession } from "../host/session-parameter.ts";
import { checkModelName } from "../v2/names.ts";
import { configMessage, metadataMessage, statisticsMessage } from "./descriptions.ts";
import type { Exchange } from "./exchange.ts";
import type { inference } from "./generated/inference.js";
import { GRPCInferenceService } from "./generated/services.ts";
import { isRaw, readInferRequest } from "./infer-request.ts";
import { writeInferResponse } from "./infer-response.ts";
import type { GrpcParts } from "./parts.ts";
import { addUnary } from "./rpc.ts";

/** Health, metadata, inference, configuration and statistics of the inference service, one answer each. */
export function addModelMethods(server: Server, parts: GrpcParts): void {
  const { plane } = parts;
  const service = GRPCInferenceService;
  addUnary(server, parts, service.ServerLive, () => ({ live: true }));
  addUnary(server, parts, service.ServerReady, () => ({ ready: !parts.stopping() && plane.serverReady() }));
  addUnary(server, parts, service.ServerMetadata, () => plane.serverMetadata());
  addUnary(server, parts, service.ModelReady, (asked, x) => ({ ready: modelReady(asked, x) }));
  addUnary(server, parts, service.ModelMetadata, (asked, x) =>
    metadataMessage(plane.modelMetadata(modelOf(asked, x), asked.version || undefined)),
  );
  addUnary(server, parts, service.ModelConfig, (asked, x) => ({
    config: configMessage(plane.modelConfig(modelOf(asked, x), asked.version || undefined)),
  }));
  addUnary(server, parts, service.ModelStatistics, (asked, x) => ({ modelStats: statistics(asked, x) }));
  addUnary(server, parts, service.ModelInfer, infer);
}

/** The model that a request names. @throws CapstanError INVALID_ARGUMENT, PERMISSION_DENIED */
function modelOf({ name }: { readonly name: string }, { parts, principal }: Exchange): string {
  const model = checkModelName(name, "model");
  parts.access?.checkModel(principal, model);
  return model;
}

/** Of one model, or of those that the caller may use. */
function statistics({ name, version }: inference.ModelStatisticsRequest, x: Exchange) {
  const { plane, access } = x.parts;
  if (name !== "") access?.checkModel(x.principal, name);
  const models = plane.statistics(name || undefined, version || undefined);
  return models.filter((model) => access?.allows(x.principal, model.name) ?? true).map(statisticsMessage);
}

/** An unknown model is not ready, and no error (V2 gRPC). */
function modelReady(asked: inference.ModelReadyRequest, x: Exchange): boolean {
  try {
    return x.parts.plane.modelReady(modelOf(asked, x), asked.version || undefined);
  } catch (error) {
    if (toCapstanError(error).code === "NOT_FOUND") return false;
    throw error;
  }
}

async function infer(message: inference.ModelInferRequest, x: Exchange) {
  const model = checkModelName(message.modelName, "model");
  const request = withSession(readInferRequest(message), x.header("x-session-id"));
  const response = await x.parts.plane.infer(
    model,
    message.modelVersion || undefined,
    request,
    x.open(request.parameters),
  );
  return writeInferResponse(response, isRaw(message));
}
