/** GGUF value types (gguf specification, gguf_metadata_value_type). */
const UINT32 = 4;
const STRING = 8;
const ALIGNMENT = 32;
/** Magic, version, number of tensors, number of metadata entries. */
const HEADER = 24;
const ENTRIES = 16;

/**
 * A copy of a GGUF file with numbers added to its metadata. They fill whole units of the alignment, so that the
 * tensors, whose offsets count from an aligned place after the metadata, are found where they are.
 */
export function withMetadata(file: Uint8Array, numbers: Readonly<Record<string, number>>): Buffer {
  const entries = Object.entries(numbers).map(([key, value]) => entry(key, UINT32, u32(value)));
  const filled = Buffer.concat(entries).length + entry("test.fill", STRING, text("")).length;
  entries.push(entry("test.fill", STRING, text(" ".repeat((ALIGNMENT - (filled % ALIGNMENT)) % ALIGNMENT))));
  const header = Buffer.from(file.subarray(0, HEADER));
  header.writeBigUInt64LE(header.readBigUInt64LE(ENTRIES) + BigInt(entries.length), ENTRIES);
  return Buffer.concat([header, ...entries, file.subarray(HEADER)]);
}

function entry(key: string, type: number, value: Buffer): Buffer {
  return Buffer.concat([text(key), u32(type), value]);
}

function text(value: string): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(value)));
  return Buffer.concat([length, Buffer.from(value)]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
