/** Why a check cannot be tried on this server. */
import type { Facts, Need } from "./types.ts";

type Missing = (facts: Facts) => string | undefined;

const unless = (condition: unknown, reason: string): string | undefined => (condition ? undefined : reason);

function extension(name: string): Missing {
  return ({ answers, extensions }) =>
    unless(extensions.has(name) || answers.has(name), `the server does not have the extension ${name}`);
}

const MISSING: Readonly<Record<Need, Missing>> = {
  target: (facts) => unless(facts.target, facts.targetProblem ?? "there is no model to ask"),
  versions: (facts) => unless(facts.target?.versions.length, "the model's metadata lists no versions"),
  reference: (facts) =>
    unless(facts.reference, "the reference model v2_identity is not served, or refuses a sample"),
  binary: ({ extensions }) =>
    unless(extensions.has("binary_tensor_data"), "the server does not advertise binary_tensor_data"),
  grpc: ({ grpc }) => unless(grpc, "no gRPC address was given (--grpc)"),
  "grpc-stream": ({ grpcStream }) => unless(grpcStream, "the server does not have ModelStreamInfer"),
  repository: extension("model_repository"),
  writes: ({ mayWrite }) => unless(mayWrite, "it loads and unloads the model: only with --repository"),
  statistics: extension("statistics"),
  configuration: extension("model_configuration"),
  generate: ({ generator }) => unless(generator, "no model takes text_input and gives text_output"),
};

/** The first need that is not met, in words. */
export function notApplicable(facts: Facts, needs: readonly Need[]): string | undefined {
  for (const need of needs) {
    const reason = MISSING[need](facts);
    if (reason !== undefined) return reason;
  }
  return undefined;
}
