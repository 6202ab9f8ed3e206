import type { Server } from "@grpc/grpc-js";
import { CapstanError } from "../contracts/index.ts";
import { GRPCInferenceService } from "./generated/services.ts";
import type { GrpcParts } from "./parts.ts";
import { addUnary } from "./rpc.ts";

const NO_SHARED_MEMORY =
  "This server does not use shared memory: send tensors in raw_input_contents, and read them from raw_output_contents";
const NO_CUDA = "This server does not use CUDA shared memory: send tensors in raw_input_contents";

/** Methods that are declared so that a client gets a sentence instead of silence. */
export function addRefusals(server: Server, parts: GrpcParts): void {
  const service = GRPCInferenceService;
  const system = () => refuse(NO_SHARED_MEMORY);
  const cuda = () => refuse(NO_CUDA);
  addUnary(server, parts, service.SystemSharedMemoryStatus, system);
  addUnary(server, parts, service.SystemSharedMemoryRegister, system);
  addUnary(server, parts, service.SystemSharedMemoryUnregister, system);
  addUnary(server, parts, service.CudaSharedMemoryStatus, cuda);
  addUnary(server, parts, service.CudaSharedMemoryRegister, cuda);
  addUnary(server, parts, service.CudaSharedMemoryUnregister, cuda);
}

function refuse(message: string): never {
  throw new CapstanError("UNSUPPORTED", message);
}
