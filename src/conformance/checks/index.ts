/** Every check, in the order of the report. */
import type { Check } from "../define.ts";
import { binaryChecks } from "./binary.ts";
import { binaryFormChecks } from "./binary-form.ts";
import { concurrencyChecks } from "./concurrency.ts";
import { errorChecks } from "./errors.ts";
import { generateChecks } from "./generate.ts";
import { grpcInferChecks } from "./grpc-infer.ts";
import { grpcServiceChecks } from "./grpc-service.ts";
import { grpcStreamChecks } from "./grpc-stream.ts";
import { healthChecks } from "./health.ts";
import { inferChecks } from "./infer.ts";
import { lifecycleChecks } from "./lifecycle.ts";
import { limitChecks } from "./limits.ts";
import { metadataChecks } from "./metadata.ts";
import { operationChecks } from "./operations.ts";
import { tensorChecks } from "./tensors.ts";

export const allChecks: readonly Check[] = [
  ...healthChecks,
  ...metadataChecks,
  ...errorChecks,
  ...inferChecks,
  ...tensorChecks,
  ...limitChecks,
  ...binaryChecks,
  ...binaryFormChecks,
  ...grpcServiceChecks,
  ...grpcInferChecks,
  ...grpcStreamChecks,
  ...operationChecks,
  ...generateChecks,
  ...concurrencyChecks,
  ...lifecycleChecks,
];
