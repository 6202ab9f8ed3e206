import { crc32, deflateRawSync, gzipSync } from "node:zlib";
import { Header } from "tar";

/** An entry of an archive that a test builds byte by byte: good archivers refuse to write the bad ones. */
export interface ArchiveEntry {
  readonly path: string;
  readonly content?: string | Uint8Array;
  /** Of tar, such as SymbolicLink. */
  readonly type?: "File" | "Directory" | "SymbolicLink" | "Link" | "CharacterDevice" | "FIFO";
  readonly linkpath?: string;
  /** Of zip: the mode of stat(2). */
  readonly mode?: number;
  /** Of zip: general purpose flags. */
  readonly flags?: number;
}

const BLOCK = 512;

export function tarOf(...entries: readonly ArchiveEntry[]): Buffer {
  const blocks = entries.flatMap(({ path, content = "", type = "File", linkpath }) => {
    const bytes = Buffer.from(content);
    const header = new Header({
      path,
      type,
      size: bytes.length,
      mode: 0o777,
      mtime: new Date(0),
      ...(linkpath ? { linkpath } : {}),
    });
    const block = Buffer.alloc(BLOCK);
    header.encode(block);
    return [block, bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK)]);
}

export const tgzOf = (...entries: readonly ArchiveEntry[]): Buffer => gzipSync(tarOf(...entries));

/** APPNOTE 4.3: local headers with data, the central directory, its end. */
export function zipOf(...entries: readonly ArchiveEntry[]): Buffer {
  const locals: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const entry of entries) {
    const { local, directory } = zipEntry(entry, offset);
    locals.push(local);
    central.push(directory);
    offset += local.length;
  }
  const listing = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(listing.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...locals, listing, end]);
}

/** General purpose flag: names are UTF-8. */
const UTF8 = 0x800;

function zipEntry({ path, content = "", mode = 0o100644, flags = UTF8 }: ArchiveEntry, offset: number) {
  const name = Buffer.from(path);
  const bytes = Buffer.from(content);
  const packed = deflateRawSync(bytes);
  const common = Buffer.alloc(26);
  common.writeUInt16LE(20, 0);
  common.writeUInt16LE(flags, 2);
  common.writeUInt16LE(8, 4);
  common.writeUInt32LE(crc32(bytes), 10);
  common.writeUInt32LE(packed.length, 14);
  common.writeUInt32LE(bytes.length, 18);
  common.writeUInt16LE(name.length, 22);
  const tail = Buffer.alloc(14);
  tail.writeUInt32LE((mode << 16) >>> 0, 6);
  tail.writeUInt32LE(offset, 10);
  return {
    local: Buffer.concat([Buffer.from("PK\x03\x04"), common, name, packed]),
    directory: Buffer.concat([Buffer.from("PK\x01\x02\x14\x03"), common, tail, name]),
  };
}
