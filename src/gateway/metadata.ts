import { Metadata } from "@grpc/grpc-js";
import type { Credential } from "../host/streams/credential.ts";

/** Headers that go on beside the credential: deadlines, sessions, and where a trace comes from (W3C Trace Context). */
const FORWARDED = [
  "x-request-timeout-ms",
  "x-priority",
  "x-session-id",
  "traceparent",
  "tracestate",
  "baggage",
] as const;

/** What gRPC takes as the value of a key: printable ASCII. */
const PRINTABLE = /^[ -~]*$/;

export interface Forwarded {
  readonly requestId: string;
  readonly credential: Credential;
  readonly header: (name: string) => string | undefined;
}

/** What the server behind is told of a request, under the names of the headers. */
export function metadataOf({ requestId, credential, header }: Forwarded): Metadata {
  const metadata = new Metadata();
  const headers = FORWARDED.map((name) => [name, header(name)] as const);
  for (const [name, value] of [...headers, ...Object.entries(credential)]) {
    if (value !== undefined && PRINTABLE.test(value)) metadata.set(name, value);
  }
  metadata.set("x-request-id", requestId);
  return metadata;
}
