import { CapstanError } from "../contracts/index.ts";
import type { Administration } from "../host/administration.ts";
import type { AccessRecords } from "./records.ts";
import type { Usage } from "./usage.ts";

/**
 * What administrators do to keys and roles. Each throws CapstanError NOT_READY while the database does not answer.
 * @param changed is called when keys or roles are not what they were.
 */
export function administration(records: AccessRecords, usage: Usage, changed: () => void): Administration {
  const changing =
    <A extends unknown[], T>(change: (...args: A) => Promise<T>) =>
    async (...args: A): Promise<T> => {
      const result = await change(...args);
      changed();
      return result;
    };
  return {
    keys: answered(() => records.keys()),
    key: answered((id) => records.key(id)),
    createKey: answered((role, options) => records.createKey(role, options)),
    rotate: answered(changing((id: string, overlapMs: number) => records.rotate(id, overlapMs))),
    revoke: answered(changing((id: string) => records.revoke(id))),
    roles: answered(() => records.roles()),
    setRole: answered(changing((role) => records.setRole(role))),
    usage: answered((of) => usage.rows(of)),
  };
}

function answered<A extends unknown[], T>(ask: (...args: A) => Promise<T>): (...args: A) => Promise<T> {
  return async (...args) => {
    try {
      return await ask(...args);
    } catch (cause) {
      if (cause instanceof CapstanError) throw cause;
      throw new CapstanError("NOT_READY", "The database of keys does not answer", { cause });
    }
  };
}
