import type { Readable } from "node:stream";
import {
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput,
  S3Client,
  type S3ClientConfig,
} from "@aws-sdk/client-s3";
import { type Call, CapstanError } from "../../src/contracts/index.ts";
import { s3Failure } from "./failures.ts";
import type { S3Options } from "./options.ts";

export interface StoredObject {
  readonly key: string;
  readonly size: number;
  readonly etag: string;
  /** Milliseconds since the epoch. */
  readonly modified: number;
}

export interface Listing {
  readonly objects: readonly StoredObject[];
  /** With a delimiter: the folders, each with its slash. */
  readonly folders: readonly string[];
}

/** The few calls of S3 that a resolver needs. */
export class Store {
  readonly #client: S3Client;
  readonly #maxObjects: number;

  constructor(options: S3Options) {
    this.#client = new S3Client(clientConfig(options));
    this.#maxObjects = options.max_objects;
  }

  /** Every object whose key begins with `prefix`; with a delimiter only those in that folder itself. */
  async list(bucket: string, prefix: string, delimiter: string | undefined, call: Call): Promise<Listing> {
    const objects: StoredObject[] = [];
    const folders: string[] = [];
    let token: string | undefined;
    do {
      const page = await this.#page(
        { Bucket: bucket, Prefix: prefix, Delimiter: delimiter, ContinuationToken: token },
        call,
      );
      objects.push(...(page.Contents ?? []).map(storedObject));
      folders.push(...(page.CommonPrefixes ?? []).map(({ Prefix = "" }) => Prefix));
      if (objects.length > this.#maxObjects) throw tooMany(`s3://${bucket}/${prefix}`, this.#maxObjects);
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
    return { objects, folders };
  }

  async head(bucket: string, key: string, call: Call): Promise<StoredObject> {
    const send = (abortSignal: AbortSignal) =>
      this.#client.send(new HeadObjectCommand({ Bucket: bucket, Key: key }), { abortSignal });
    const { ContentLength, ETag, LastModified } = await asking(`s3://${bucket}/${key}`, send, call);
    return storedObject({ Key: key, Size: ContentLength, ETag, LastModified });
  }

  /** The content, if it is still what the listing said. */
  async read(bucket: string, { key, etag }: StoredObject, call: Call): Promise<Readable> {
    const input = { Bucket: bucket, Key: key, ...(etag === "" ? {} : { IfMatch: etag }) };
    const send = (abortSignal: AbortSignal) =>
      this.#client.send(new GetObjectCommand(input), { abortSignal });
    const { Body } = await asking(`s3://${bucket}/${key}`, send, call);
    return Body as Readable;
  }

  close(): void {
    this.#client.destroy();
  }

  #page(
    input: ConstructorParameters<typeof ListObjectsV2Command>[0],
    call: Call,
  ): Promise<ListObjectsV2CommandOutput> {
    const send = (abortSignal: AbortSignal) =>
      this.#client.send(new ListObjectsV2Command(input), { abortSignal });
    return asking(`s3://${input.Bucket}/${input.Prefix}`, send, call);
  }
}

function clientConfig(options: S3Options): S3ClientConfig {
  const { endpoint, anonymous } = options;
  const region =
    options.region ?? (endpoint === undefined ? undefined : (process.env.AWS_REGION ?? "us-east-1"));
  return {
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    forcePathStyle: options.path_style ?? endpoint !== undefined,
    followRegionRedirects: true,
    maxAttempts: options.max_retries + 1,
    // Other stores do not send the checksums that Amazon does by default.
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: { connectionTimeout: options.connect_timeout, socketTimeout: options.idle_timeout },
    ...(anonymous ? UNSIGNED : credentialsOf(options)),
  };
}

const UNSIGNED: S3ClientConfig = {
  credentials: { accessKeyId: "", secretAccessKey: "" },
  signer: { sign: async (request) => request },
};

/** Nothing where the SDK's own chain is to find them. */
function credentialsOf({ access_key_id, secret_access_key, session_token }: S3Options): S3ClientConfig {
  if (access_key_id === undefined || secret_access_key === undefined) return {};
  const session = session_token === undefined ? {} : { sessionToken: session_token };
  return { credentials: { accessKeyId: access_key_id, secretAccessKey: secret_access_key, ...session } };
}

async function asking<T>(
  where: string,
  send: (signal: AbortSignal) => Promise<T>,
  { signal }: Call,
): Promise<T> {
  signal.throwIfAborted();
  try {
    // A signal of its own: the SDK leaves its listeners on it.
    return await send(AbortSignal.any([signal]));
  } catch (cause) {
    signal.throwIfAborted();
    throw s3Failure(where, cause);
  }
}

interface Described {
  readonly Key?: string | undefined;
  readonly Size?: number | undefined;
  readonly ETag?: string | undefined;
  readonly LastModified?: Date | undefined;
}

const storedObject = ({ Key = "", Size = 0, ETag = "", LastModified }: Described): StoredObject => ({
  key: Key,
  size: Size,
  etag: ETag,
  modified: LastModified?.getTime() ?? 0,
});

const tooMany = (where: string, limit: number) =>
  new CapstanError(
    "UPSTREAM",
    `There are more than ${limit} objects at ${where} (max_objects): is it one model?`,
  );
