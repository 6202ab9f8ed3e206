import type { Administration } from "../host/administration.ts";
import { answered } from "../store/answered.ts";
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
    keys: orAway(() => records.keys()),
    key: orAway((id) => records.key(id)),
    createKey: orAway((role, options) => records.createKey(role, options)),
    rotate: orAway(changing((id: string, overlapMs: number) => records.rotate(id, overlapMs))),
    revoke: orAway(changing((id: string) => records.revoke(id))),
    roles: orAway(() => records.roles()),
    setRole: orAway(changing((role) => records.setRole(role))),
    usage: orAway((of) => usage.rows(of)),
  };
}

function orAway<A extends unknown[], T>(ask: (...args: A) => Promise<T>): (...args: A) => Promise<T> {
  return (...args) => answered(ask(...args), "The database of keys does not answer");
}
