const USER_INFO = /(\b[a-z][a-z0-9+.-]*:\/\/)[^/\s@'"]+@/gi;
const SIGNED =
  /([?&](?:x-amz-(?:signature|credential|security-token)|sig|signature|token|access_token|api_key|key|password|secret)=)[^&#\s'"]+/gi;
const BEARER = /\b(bearer|basic)\s+(?=\S*\d)[\w.~+/-]{8,}=*/gi;

/** A text that others may read: without the passwords, signatures and tokens that addresses and headers carry. */
export const withoutSecrets = (text: string): string =>
  text.replace(USER_INFO, "$1").replace(SIGNED, "$1[redacted]").replace(BEARER, "$1 [redacted]");
