import type { Server } from "@grpc/grpc-js";
import { CapstanError, invalid } from "../contracts/index.ts";
import { checkAdministrator } from "../host/access.ts";
import { checkModelName } from "../v2/names.ts";
import type { inference } from "./generated/inference.js";
import { GRPCInferenceService } from "./generated/services.ts";
import type { GrpcParts } from "./parts.ts";
import { addUnary } from "./rpc.ts";

/** The V2 model repository extension. There is one repository, so `repository_name` is not looked at. */
export function addRepositoryMethods(server: Server, parts: GrpcParts): void {
  const { repository } = parts;
  const { RepositoryIndex, RepositoryModelLoad, RepositoryModelUnload } = GRPCInferenceService;
  addUnary(server, parts, RepositoryIndex, ({ ready }, x) => ({
    models: repository.index({ ready }).filter(({ name }) => parts.access?.allows(x.principal, name) ?? true),
  }));
  addUnary(server, parts, RepositoryModelLoad, async ({ modelName, parameters }, x) => {
    checkAdministrator(parts.access, x);
    await repository.load(checkModelName(modelName, "model"), configOf(parameters), x.open());
    return {};
  });
  addUnary(server, parts, RepositoryModelUnload, async ({ modelName }, x) => {
    checkAdministrator(parts.access, x);
    await repository.unload(checkModelName(modelName, "model"), x.open());
    return {};
  });
}

/**
 * The `config` parameter of a load call. Triton's `file:` parameters, which bring the model's bytes along,
 * are not taken: what is served comes from the repository.
 */
function configOf(
  parameters: Readonly<Record<string, inference.ModelRepositoryParameter>>,
): string | undefined {
  const file = Object.keys(parameters).find((key) => key.startsWith("file:"));
  if (file !== undefined)
    throw new CapstanError("UNSUPPORTED", `Parameter '${file}': models come from the repository`);
  if (parameters.config === undefined) return undefined;
  const { stringParam } = parameters.config;
  if (stringParam !== null) return stringParam;
  throw invalid("Parameter 'config' must be a string with the JSON of a model-settings.json");
}
