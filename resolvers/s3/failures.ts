import { CapstanError, isCapstanError } from "../../src/contracts/index.ts";

const MISSING: ReadonlySet<string> = new Set(["NoSuchBucket", "NoSuchKey", "NotFound"]);

/** What to check, by the name of S3's error or the SDK's. */
const ADVICE: Readonly<Record<string, string>> = {
  AccessDenied: "The credentials may not read there: check that they allow s3:ListBucket and s3:GetObject",
  Forbidden: "The credentials may not read there: check that they allow s3:ListBucket and s3:GetObject",
  InvalidAccessKeyId: "Check access_key_id, and that it belongs to this endpoint",
  SignatureDoesNotMatch: "Check secret_access_key, region and endpoint",
  ExpiredToken: "The temporary credentials have expired",
  PermanentRedirect: "The bucket is in another region: set region",
  AuthorizationHeaderMalformed: "The bucket is in another region: set region",
  CredentialsProviderError:
    "There are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or access_key_id and secret_access_key, " +
    "or anonymous for a public bucket",
  "Region is missing": "Set region, or AWS_REGION",
};

/** Of the network, below S3. */
const UNREACHABLE: ReadonlySet<string> = new Set([
  ...["ECONNREFUSED", "ECONNRESET", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT"],
]);

interface SdkError {
  readonly name?: string;
  readonly message?: string;
  readonly code?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

/** An error of the SDK as what it means. `where` is the address in S3. */
export function s3Failure(where: string, cause: unknown): CapstanError {
  if (isCapstanError(cause)) return cause;
  const { name = "", message = "", code, $metadata } = cause as SdkError;
  const status = $metadata?.httpStatusCode;
  if (MISSING.has(name) || status === 404) {
    const missing = name === "NoSuchBucket" ? "no such bucket" : "no such object";
    return new CapstanError("NOT_FOUND", `There is nothing at ${where}: ${missing}`, { cause });
  }
  if (status === 412) return changed(where);
  const what = name === "Error" ? code : name;
  const label = [status, message.includes(what ?? "") ? "" : what].filter(Boolean).join(" ");
  const reason = [label, message].filter(Boolean).join(": ");
  const advice = adviceOn(what, message, status);
  return new CapstanError("UPSTREAM", `Cannot read ${where}: ${reason}${advice ? `. ${advice}` : ""}`, {
    cause,
  });
}

function adviceOn(what: string | undefined, message: string, status: number | undefined) {
  if (UNREACHABLE.has(what ?? ""))
    return "Check endpoint and region, and that this machine may connect there";
  return ADVICE[what ?? ""] ?? ADVICE[message] ?? (status === 403 ? ADVICE.Forbidden : undefined);
}

export const changed = (where: string): CapstanError =>
  new CapstanError("UPSTREAM", `${where} changed while it was being fetched; try again`);
