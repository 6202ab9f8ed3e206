import type { Call } from "../../src/contracts/index.ts";
import { type Answer, type Json, recordsIn, send, textIn, upstream } from "./exchange.ts";
import { encodedPath, type RemoteFile, relativePath } from "./files.ts";

export interface CloudQuestion {
  /** The model's folder: abfss://container@account.dfs.core.windows.net/path or gs://bucket/path. */
  readonly storage: string;
  /** SAS or OAuth token. */
  readonly token: string;
  /** Instead of the cloud's own address. */
  readonly endpoint: string | undefined;
  readonly maxFiles: number;
  readonly timeout: number;
}

/** A listing of one page, and the token of the next. */
interface Page {
  readonly files: readonly RemoteFile[];
  readonly next: string;
}

/**
 * Azure Data Lake Storage, "Path - List" of its REST API. Written from its documentation; not run against Azure.
 * The SAS is part of each address.
 */
export async function azureFiles(question: CloudQuestion, call: Call): Promise<RemoteFile[]> {
  const [, container, host, path = ""] = /^abfss?:\/\/([^@/]+)@([^/]+)\/?(.*)$/.exec(question.storage) ?? [];
  if (container === undefined || host === undefined) throw strange(question);
  const folder = path.replace(/\/+$/, "");
  const base = `${question.endpoint ?? `https://${host}`}/${container}`;
  const sas = question.token.replace(/^\?/, "");
  return allPages(question, async (token) => {
    const query = new URLSearchParams({ resource: "filesystem", recursive: "true", directory: folder });
    if (token !== "") query.set("continuation", token);
    const answer = await send(new URL(`${base}?${query}&${sas}`), {}, question.timeout, call);
    const entries = recordsIn(listed(answer).paths).filter(
      ({ isDirectory }) => String(isDirectory) !== "true",
    );
    const names = entries.map(({ name }) => textIn(name));
    const files = names.map((name) => ({
      path: relativePath(name, folder),
      url: `${base}/${encodedPath(name)}?${sas}`,
    }));
    return { files, next: answer.headers.get("x-ms-continuation") ?? "" };
  });
}

/** Google Cloud Storage, its JSON API. Written from its documentation; not run against Google. */
export async function googleFiles(question: CloudQuestion, call: Call): Promise<RemoteFile[]> {
  const [, bucket, path = ""] = /^gs:\/\/([^/]+)\/?(.*)$/.exec(question.storage) ?? [];
  if (bucket === undefined) throw strange(question);
  const folder = path.replace(/\/+$/, "");
  const base = `${question.endpoint ?? "https://storage.googleapis.com"}/storage/v1/b/${bucket}/o`;
  const headers = { authorization: `Bearer ${question.token}` };
  return allPages(question, async (token) => {
    const query = new URLSearchParams({ prefix: `${folder}/` });
    if (token !== "") query.set("pageToken", token);
    const json = listed(await send(new URL(`${base}?${query}`), { headers }, question.timeout, call));
    const names = recordsIn(json.items).map(({ name }) => textIn(name));
    const files = names
      .filter((name) => !name.endsWith("/"))
      .map((name) => ({
        path: relativePath(name, folder),
        url: `${base}/${encodeURIComponent(name)}?alt=media`,
      }));
    return { files, next: textIn(json.nextPageToken) };
  });
}

/** Every page of a listing. */
export async function allPages(
  { storage, maxFiles }: Pick<CloudQuestion, "storage" | "maxFiles">,
  page: (token: string) => Promise<Page>,
): Promise<RemoteFile[]> {
  const found: RemoteFile[] = [];
  let token = "";
  do {
    const { files, next } = await page(token);
    found.push(...files);
    if (found.length > maxFiles)
      throw upstream(`There are more than ${maxFiles} files at ${storage} (max_files)`);
    token = next;
  } while (token !== "");
  return found;
}

function listed({ status, json, where }: Answer): Json {
  if (status === 200 && json !== undefined) return json;
  throw upstream(
    `${where} answered ${status} to the registry's temporary credentials: check the storage's firewall`,
  );
}

const strange = ({ storage }: CloudQuestion) =>
  upstream(`The registry's storage_location '${storage}' is no address of a cloud`);
