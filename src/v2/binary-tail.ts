import { invalid } from "../contracts/index.ts";

/** The bytes behind the JSON, taken in the order of the inputs. */
export class BinaryTail {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** @throws CapstanError INVALID_ARGUMENT */
  take(size: number, where: string): Uint8Array {
    const left = this.#bytes.length - this.#offset;
    if (size > left)
      throw invalid(`${where}: binary_data_size is ${size}, and ${left} bytes are left in the body`);
    const start = this.#offset;
    this.#offset += size;
    return this.#bytes.subarray(start, this.#offset);
  }

  /** @throws CapstanError INVALID_ARGUMENT */
  assertEmpty(): void {
    const left = this.#bytes.length - this.#offset;
    if (left > 0) throw invalid(`${left} bytes are left over in the body after the binary tensors`);
  }
}
