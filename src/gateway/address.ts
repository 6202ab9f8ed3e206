/** Where the server behind the gateway listens. */
export interface UpstreamAddress {
  /** `host:port`. */
  readonly host: string;
  readonly tls: boolean;
}

/** Undefined for text that is no address: `host:port`, or with `grpc://` or, for TLS, `grpcs://` before it. */
export function parseUpstream(text: string): UpstreamAddress | undefined {
  const [, scheme, host] = /^(?:(grpcs?):\/\/)?((?:[\w.-]+|\[[\da-fA-F:.]+\]):\d{1,5})\/?$/.exec(text) ?? [];
  return host === undefined ? undefined : { host, tls: scheme === "grpcs" };
}
