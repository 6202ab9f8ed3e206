/**
 * Each operation is one script: one round trip, and all of it or nothing. A session's keys, and its owner's list of
 * sessions, have the owner's hash tag, so that a cluster keeps them together.
 */

/** Renews a session: its keys live for `ttl` milliseconds from now, for ever when that is 0. */
const RENEW = `
local function renew(keys, sessions, id, ttl, create)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('ZREMRANGEBYSCORE', sessions, '-inf', '(' .. now)
  local flag = create and 'CH' or 'XX'
  if ttl == 0 then
    redis.call('ZADD', sessions, flag, '+inf', id)
    for _, key in ipairs(keys) do redis.call('PERSIST', key) end
    redis.call('PERSIST', sessions)
    return
  end
  redis.call('ZADD', sessions, flag, now + ttl, id)
  for _, key in ipairs(keys) do redis.call('PEXPIRE', key, ttl) end
  if redis.call('PTTL', sessions) < ttl then redis.call('PEXPIRE', sessions, ttl) end
end
`;

export const SCRIPTS = {
  /**
   * KEYS: turns, order, sessions, fence. ARGV: the session's id, ttl, the writer's fencing token or 0, then the id and
   * the text of each turn. Gives 0, and writes nothing, when a newer token was given since.
   */
  appendTurns: `${RENEW}
local token = tonumber(ARGV[3])
if token > 0 and tonumber(redis.call('GET', KEYS[4]) or '0') > token then return 0 end
for i = 4, #ARGV, 2 do
  if redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1]) == 1 then redis.call('RPUSH', KEYS[2], ARGV[i]) end
end
renew({KEYS[1], KEYS[2]}, KEYS[3], ARGV[1], tonumber(ARGV[2]), true)
return 1
`,
  /** KEYS: turns, order, sessions. ARGV: the session's id, ttl, how many of the newest turns, -1 for all. */
  readTurns: `${RENEW}
local last = tonumber(ARGV[3])
if last == 0 then return {} end
local texts = {}
for i, id in ipairs(redis.call('LRANGE', KEYS[2], last < 0 and 0 or -last, -1)) do
  texts[i] = redis.call('HGET', KEYS[1], id)
end
if #texts > 0 then renew({KEYS[1], KEYS[2]}, KEYS[3], ARGV[1], tonumber(ARGV[2]), false) end
return texts
`,
  /** KEYS: turns, order, sessions. ARGV: the session's id. */
  clearTurns: `
redis.call('ZREM', KEYS[3], ARGV[1])
return redis.call('DEL', KEYS[1], KEYS[2])
`,
  /** KEYS: sessions. Gives the ids of those that have not expired. */
  listSessions: `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], now, '+inf')
`,
  /** KEYS: lock, fence. ARGV: how long it holds, and the fence is kept, in milliseconds. Gives a token, or 0. */
  acquireLock: `
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local token = redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
redis.call('SET', KEYS[1], token, 'PX', ARGV[1])
return token
`,
  /** KEYS: lock. ARGV: the token, how long it holds. Gives 0 when the lock is not held by that token any more. */
  renewLock: `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`,
  /** KEYS: lock. ARGV: the token. Leaves another's lock alone. */
  releaseLock: `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
`,
} as const;

export type ScriptName = keyof typeof SCRIPTS;
