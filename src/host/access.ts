import { CapstanError, type Principal } from "../contracts/index.ts";
import { type Caller, checkLocalCaller } from "./local-caller.ts";

/** Who may call, as the transports ask it. Absent on a server without access control. */
export interface Access {
  /** Whether a route answers without a credential; `path` is its template. */
  isOpen(path: string): boolean;
  /**
   * Whose a credential is; at once where that is known.
   * @throws CapstanError UNAUTHENTICATED for one that is missing, unknown, expired or revoked.
   */
  authenticate(credential: string | undefined): Principal | Promise<Principal>;
  /** Whether a caller's role has a model; without a principal the route is open, and has all. */
  allows(principal: Principal | undefined, model: string): boolean;
  /** @throws CapstanError PERMISSION_DENIED for a model that the caller's role does not have. */
  checkModel(principal: Principal | undefined, model: string): void;
  /** Work under way for a caller: `cancel` is called when its key is revoked. Returns the end of the work. */
  hold(principal: Principal, cancel: (reason: string) => void): () => void;
}

/** The credential of a request: `Authorization: Bearer KEY`, or `X-API-Key: KEY`; the same names in gRPC metadata. */
export function credentialOf(header: (name: string) => string | undefined): string | undefined {
  const bearer = /^Bearer\s+(.+)$/i.exec(header("authorization")?.trim() ?? "")?.[1];
  return bearer ?? header("x-api-key")?.trim();
}

/**
 * Whether a caller may change what is served, or see what is others': with access control an administrator, without
 * it a program on this machine.
 * @throws CapstanError PERMISSION_DENIED saying which it would have to be.
 */
export function checkAdministrator(
  access: Access | undefined,
  caller: Caller & { readonly principal: Principal | undefined },
): void {
  if (access === undefined) checkLocalCaller(caller);
  else if (caller.principal?.admin !== true) throw notAdministrator(caller.principal);
}

function notAdministrator(principal: Principal | undefined): CapstanError {
  const key = principal === undefined ? "no key" : `key '${principal.id}'`;
  return new CapstanError("PERMISSION_DENIED", `This is for administrators, and the caller has ${key}`);
}
