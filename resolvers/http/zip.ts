import { type Entry, openPromise } from "yauzl";
import type { UnpackTarget } from "./unpack-target.ts";

/** Unpacks a zip. Its own names are checked twice: by the reader, and as paths. */
export async function unpackZip(file: string, target: UnpackTarget): Promise<void> {
  const zip = await openPromise(file, { strictFileNames: true, autoClose: false });
  try {
    for await (const entry of zip.eachEntry()) {
      target.count();
      refuseSpecial(entry, target);
      if (entry.fileName.endsWith("/")) await target.directory(entry.fileName);
      else await target.file(entry.fileName, await zip.openReadStreamPromise(entry));
    }
  } finally {
    zip.close();
  }
}

const FILE_TYPE = 0o170000;
/** Of stat(2): a folder, an ordinary file; 0 where the archive was not made on Unix. */
const ORDINARY: ReadonlySet<number> = new Set([0, 0o040000, 0o100000]);

function refuseSpecial(entry: Entry, target: UnpackTarget): void {
  const { fileName } = entry;
  if (entry.isEncrypted()) target.refuse(`'${fileName}', which is encrypted`);
  if (!ORDINARY.has((entry.externalFileAttributes >>> 16) & FILE_TYPE)) {
    target.refuse(
      `'${fileName}', a link or a device. Only files and folders are taken: pack links as what they name`,
    );
  }
}
