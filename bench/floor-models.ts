import { glob } from "node:fs/promises";
import path from "node:path";
import { InferenceSession, type OnnxValue, Tensor } from "onnxruntime-node";

/** One sample model as the floors run it. */
export interface FloorModel {
  readonly session: InferenceSession;
  /** Columns of its one FP32 input, for bodies whose header the floor does not read. */
  readonly columns: number;
}

/** The models of a repository's sub-folders by name. */
export async function loadModels(folder: string): Promise<Map<string, FloorModel>> {
  const models = new Map<string, FloorModel>();
  for await (const file of glob("*/model.onnx", { cwd: folder })) {
    const session = await InferenceSession.create(path.join(folder, file), {
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
    });
    const input = session.inputMetadata[0];
    const columns = input?.isTensor ? Number(input.shape[1]) : 0;
    models.set(path.dirname(file), { session, columns });
  }
  return models;
}

export function run({ session }: FloorModel, data: Float32Array, shape: readonly number[]) {
  return session.run({ [session.inputNames[0] as string]: new Tensor("float32", data, shape) });
}

/** The floats in bytes: a view where they are aligned, else a copy. */
export function floatsOf(bytes: Uint8Array): Float32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Float32Array(aligned.buffer, aligned.byteOffset, bytes.byteLength / 4);
}

/** The outputs of the sample models hold nothing else. */
export type FloorArray = Float32Array | BigInt64Array;

export function bytesOf({ data }: OnnxValue): Buffer {
  const { buffer, byteOffset, byteLength } = data as FloorArray;
  return Buffer.from(buffer, byteOffset, byteLength);
}
