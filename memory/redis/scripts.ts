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

/** Adds what `ARGV` has from `first` on, each an id and a text; ids that are there stay as they are. */
const APPEND = `
local function append(turns, order, first)
  for i = first, #ARGV, 2 do
    if redis.call('HSETNX', turns, ARGV[i], ARGV[i + 1]) == 1 then redis.call('RPUSH', order, ARGV[i]) end
  end
end
local function outdated(fence, token)
  return token > 0 and tonumber(redis.call('GET', fence) or '0') > token
end
`;

/** The texts of the newest turns, all of them when `last` is negative. */
const READ = `
local function read(turns, order, last)
  local texts = {}
  if last == 0 then return texts end
  for i, id in ipairs(redis.call('LRANGE', order, last < 0 and 0 or -last, -1)) do
    texts[i] = redis.call('HGET', turns, id)
  end
  return texts
end
`;

/** Gives a token, or 0 while another holds the lock. */
const ACQUIRE = `
local function acquire(lock, fence, hold, keep)
  if redis.call('EXISTS', lock) == 1 then return 0 end
  local token = redis.call('INCR', fence)
  redis.call('PEXPIRE', fence, keep)
  redis.call('SET', lock, token, 'PX', hold)
  return token
end
`;

/** Leaves another's lock alone. */
const RELEASE = `
local function release(lock, token)
  if redis.call('GET', lock) ~= token then return 0 end
  return redis.call('DEL', lock)
end
`;

export const SCRIPTS = {
  /**
   * The lock and the turns that are there, at once. KEYS: lock, fence, turns, order, sessions. ARGV: how long the lock
   * holds, and the fence is kept, in milliseconds; the session's id, ttl, how many of the newest turns, -1 for all.
   * Gives the token and the texts; 0 and none while another holds the lock.
   */
  beginTurn: `${RENEW}${READ}${ACQUIRE}
local token = acquire(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
if token == 0 then return {0, {}} end
local texts = read(KEYS[3], KEYS[4], tonumber(ARGV[5]))
if #texts > 0 then renew({KEYS[3], KEYS[4]}, KEYS[5], ARGV[3], tonumber(ARGV[4]), false) end
return {token, texts}
`,
  /**
   * As `appendTurns`, with the release of the lock. KEYS: turns, order, sessions, fence, lock. ARGV: as there. The lock
   * is released only when something was written.
   */
  endTurn: `${RENEW}${APPEND}${RELEASE}
if outdated(KEYS[4], tonumber(ARGV[3])) then return 0 end
append(KEYS[1], KEYS[2], 4)
renew({KEYS[1], KEYS[2]}, KEYS[3], ARGV[1], tonumber(ARGV[2]), true)
release(KEYS[5], ARGV[3])
return 1
`,
  /**
   * KEYS: turns, order, sessions, fence. ARGV: the session's id, ttl, the writer's fencing token or 0, then the id and
   * the text of each turn. Gives 0, and writes nothing, when a newer token was given since.
   */
  appendTurns: `${RENEW}${APPEND}
if outdated(KEYS[4], tonumber(ARGV[3])) then return 0 end
append(KEYS[1], KEYS[2], 4)
renew({KEYS[1], KEYS[2]}, KEYS[3], ARGV[1], tonumber(ARGV[2]), true)
return 1
`,
  /** KEYS: turns, order, sessions. ARGV: the session's id, ttl, how many of the newest turns, -1 for all. */
  readTurns: `${RENEW}${READ}
local texts = read(KEYS[1], KEYS[2], tonumber(ARGV[3]))
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
  acquireLock: `${ACQUIRE}
return acquire(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
`,
  /** KEYS: lock. ARGV: the token, how long it holds. Gives 0 when the lock is not held by that token any more. */
  renewLock: `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`,
  /** KEYS: lock. ARGV: the token. Leaves another's lock alone. */
  releaseLock: `${RELEASE}
return release(KEYS[1], ARGV[1])
`,
} as const;

export type ScriptName = keyof typeof SCRIPTS;
