import type { Administration } from "../host/administration.ts";
import type { Authenticator } from "./authenticator.ts";
import type { AccessRecords } from "./records.ts";
import type { Usage } from "./usage.ts";

/** What administrators do to keys and roles takes effect here at once, and on other replicas within a second. */
export function administration(
  records: AccessRecords,
  authenticator: Authenticator,
  usage: Usage,
): Administration {
  const changing =
    <A extends unknown[], T>(change: (...args: A) => Promise<T>) =>
    async (...args: A): Promise<T> => {
      const result = await change(...args);
      authenticator.forget();
      return result;
    };
  return {
    keys: () => records.keys(),
    key: (id) => records.key(id),
    createKey: (role, options) => records.createKey(role, options),
    rotate: changing((id: string, overlapMs: number) => records.rotate(id, overlapMs)),
    revoke: changing((id: string) => records.revoke(id)),
    roles: () => records.roles(),
    setRole: changing((role) => records.setRole(role)),
    usage: (of) => usage.rows(of),
  };
}
