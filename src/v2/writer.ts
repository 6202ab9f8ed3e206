import type { Parameters } from "../contracts/index.ts";
import { writeInteger } from "./decimal-text.ts";
import { FLOAT32_BYTES, writeFloat32 } from "./float32.ts";

/** Most answers fit: one buffer serves them all in turn, as writing one is synchronous. */
const SHARED_BYTES = 256 * 1024;
const shared = Buffer.allocUnsafeSlow(SHARED_BYTES);

/** Longest integer of a typed array, with its sign. */
const INTEGER_BYTES = 21;

/** Writes JSON bytes into a buffer that grows. Take the result with {@link finish} before the next is made. */
export class JsonWriter {
  #buffer = shared;
  #length = 0;

  /** Text that is known to be ASCII and short: for that, a call of native code costs more than the loop. */
  ascii(text: string): void {
    this.#reserve(text.length);
    const buffer = this.#buffer;
    let at = this.#length;
    for (let i = 0; i < text.length; i++) buffer[at++] = text.charCodeAt(i);
    this.#length = at;
  }

  text(text: string): void {
    this.#reserve(text.length * 3);
    this.#length += this.#buffer.write(text, this.#length);
  }

  /** A string with its quotes. */
  string(text: string): void {
    if (PLAIN.test(text)) this.ascii(`"${text}"`);
    else this.text(JSON.stringify(text));
  }

  /** The field `parameters` behind others; nothing where there are none. */
  parametersField(parameters: Parameters | undefined): void {
    if (parameters === undefined || Object.keys(parameters).length === 0) return;
    this.ascii(',"parameters":');
    this.parameters(parameters);
  }

  parameters(parameters: Parameters): void {
    const fields = Object.entries(parameters).map(([key, value]) => {
      return `${JSON.stringify(key)}:${typeof value === "bigint" ? String(value) : JSON.stringify(value)}`;
    });
    this.text(`{${fields.join(",")}}`);
  }

  /** Comma separated binary32 values; those that are no numbers as text (protobuf's JSON mapping). */
  float32s(values: Float32Array): void {
    this.#reserve(values.length * (FLOAT32_BYTES + 1));
    const buffer = this.#buffer;
    let at = this.#length;
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      if (i > 0) buffer[at++] = COMMA;
      if (Number.isFinite(value)) at = writeFloat32(buffer, at, value);
      else at += buffer.write(JSON.stringify(String(value)), at);
    }
    this.#length = at;
  }

  /** Comma separated integers below 2^53. */
  integers(values: ArrayLike<number>): void {
    this.#reserve(values.length * (INTEGER_BYTES + 1));
    const buffer = this.#buffer;
    let at = this.#length;
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      if (i > 0) buffer[at++] = COMMA;
      if (value < 0) buffer[at++] = MINUS;
      at = writeInteger(buffer, at, Math.abs(value));
    }
    this.#length = at;
  }

  /** Comma separated integers of 64 bits. */
  longs(values: ArrayLike<bigint>): void {
    this.#reserve(values.length * (INTEGER_BYTES + 1));
    const buffer = this.#buffer;
    let at = this.#length;
    for (let i = 0; i < values.length; i++) {
      const value = Number(values[i]!);
      if (i > 0) buffer[at++] = COMMA;
      if (Math.abs(value) > Number.MAX_SAFE_INTEGER) at += buffer.write(String(values[i]), at);
      else {
        if (value < 0) buffer[at++] = MINUS;
        at = writeInteger(buffer, at, Math.abs(value));
      }
    }
    this.#length = at;
  }

  /** A copy of what was written. */
  finish(): Buffer {
    return Buffer.from(this.#buffer.subarray(0, this.#length));
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}

/** Short names, as nearly all of them are: nothing in them is to be escaped. */
const PLAIN = /^[\w .:/-]{0,64}$/;
const COMMA = 44;
const MINUS = 45;
