/** Tenants and keys, where several records change together. */
import { PLAN_FIELDS } from '../../contract/plan.js';
import { SHARED } from './shared.js';

const PRELUDE = `
local C = KEYS[1]
local function key(kind, id) return C .. ':' .. kind .. ':' .. id end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
local function whole(value) return string.format('%d', value) end

local function add_key(tenant, id, digest, name, lifetime)
  redis.call('HSET', key('key', id), 'tenant', tenant, 'digest', digest, 'name', name,
    'createdAt', whole(now))
  if lifetime ~= '' then
    redis.call('HSET', key('key', id), 'expiresAt', whole(now + tonumber(lifetime)))
  end
  redis.call('SADD', key('keys', tenant), id)
end
`;

/** A tenant exists while it has a status; what the scheduler notes about it may outlive it. */
export const CREATE_TENANT = `#!lua
${PRELUDE}
local id, name, keyId, digest, keyName = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if redis.call('HEXISTS', key('tenant', id), 'status') == 1 then return {'taken'} end
if redis.call('HSETNX', C .. ':tenant-names', name, id) == 0 then return {'taken'} end
redis.call('ZADD', C .. ':tenants', now, id)
redis.call('HSET', key('tenant', id), 'name', name, 'status', 'active', 'createdAt', whole(now))
for i = 6, #ARGV, 2 do redis.call('HSET', key('tenant', id), ARGV[i], ARGV[i + 1]) end
if keyId ~= '' then add_key(id, keyId, digest, keyName, '') end
return {'ok', whole(now)}
`;

/** A changed cap may let something in at once. */
export const UPDATE_TENANT = `#!lua
${SHARED}
local tenant = ARGV[1]
local T = key('tenant', tenant)
if redis.call('HEXISTS', T, 'status') == 0 then return {'missing'} end
for i = 2, #ARGV, 2 do redis.call('HSET', T, ARGV[i], ARGV[i + 1]) end
for _, pool in ipairs(pools()) do refresh_ready(pool, tenant) end
return admit_all({'ok'})
`;

/**
 * The keys stop working with this script. What the scheduler notes stays until the last task has ended
 * and been forgotten.
 */
export const DELETE_TENANT = `#!lua flags=allow-oom
${PRELUDE}
local tenant, ttl = ARGV[1], ARGV[2]
local T = key('tenant', tenant)
local name = redis.call('HGET', T, 'name')
if not redis.call('HGET', T, 'status') then return {'missing'} end
for _, id in ipairs(redis.call('SMEMBERS', key('keys', tenant))) do
  redis.call('DEL', key('key', id))
end
redis.call('DEL', key('keys', tenant))
redis.call('HDEL', C .. ':tenant-names', name)
redis.call('ZREM', C .. ':tenants', tenant)
redis.call('HDEL', T, 'status', 'name', 'createdAt')
redis.call('PEXPIRE', T, ttl)
return {'ok'}
`;

export const CREATE_KEY = `#!lua
${PRELUDE}
local tenant, id, digest, name, lifetime, keysMax = unpack(ARGV)
if redis.call('HEXISTS', key('tenant', tenant), 'status') == 0 then return {'missing'} end
if redis.call('SCARD', key('keys', tenant)) >= tonumber(keysMax) then return {'full'} end
add_key(tenant, id, digest, name, lifetime)
return {'ok'}
`;

/** A new key in the place of an old one, which ends after the grace, or as it would have. */
export const ROTATE_KEY = `#!lua
${PRELUDE}
local tenant, old, id, digest, lifetime, grace = unpack(ARGV)
local h = redis.call('HMGET', key('key', old), 'tenant', 'revokedAt', 'name', 'expiresAt', 'createdAt')
if h[1] ~= tenant then return {'missing'} end
if h[2] then return {'revoked'} end
if lifetime == '' and h[4] then lifetime = whole(tonumber(h[4]) - tonumber(h[5])) end
add_key(tenant, id, digest, h[3], lifetime)
local ends = now + tonumber(grace)
if not h[4] or tonumber(h[4]) > ends then
  redis.call('HSET', key('key', old), 'expiresAt', whole(ends))
end
return {'ok'}
`;

/** It stays listed for a while, so that nobody wonders; its digest goes at once. */
export const REVOKE_KEY = `#!lua flags=allow-oom
${PRELUDE}
local tenant, id, listed = ARGV[1], ARGV[2], ARGV[3]
local K = key('key', id)
local h = redis.call('HMGET', K, 'tenant', 'revokedAt')
if h[1] ~= tenant then return {'missing'} end
if not h[2] then
  redis.call('HSET', K, 'revokedAt', whole(now))
  redis.call('HDEL', K, 'digest')
  redis.call('PEXPIRE', K, listed)
end
return {'ok'}
`;

const PLAN_ARGUMENTS = PLAN_FIELDS.map((name) => `'${name}'`).join(', ');

/**
 * All that is asked about a request before it is read, in one round trip: whose key it is, whether that
 * tenant may call, its plan, the day's CPU time, and one token of its bucket. The bucket is written past
 * the append-only file (REPL_NONE): after a restart everybody has a full one, and no request waits for a
 * disk. Digests are compared in constant time. With a tenant given there is no key: it was checked.
 */
export const AUTHENTICATE = `#!lua flags=allow-oom
${PRELUDE}
local id, digest, tenant = ARGV[1], ARGV[2], ARGV[3]
if tenant == '' then
  local K = key('key', id)
  local h = redis.call('HMGET', K, 'tenant', 'digest', 'expiresAt', 'lastUsedAt')
  local stored, different = h[2] or string.rep('0', 64), 0
  for i = 1, 64 do
    different = bit.bor(different, bit.bxor(string.byte(stored, i), string.byte(digest, i)))
  end
  if not h[2] or different ~= 0 then return {'unknown'} end
  if h[3] and now >= tonumber(h[3]) then return {'expired'} end
  tenant = h[1]
  if not h[4] or now - tonumber(h[4]) >= 60000 then
    redis.call('HSET', K, 'lastUsedAt', whole(now))
  end
end
local T = key('tenant', tenant)
local h = redis.call('HMGET', T, 'status', 'rateTokens', 'rateAt', 'requestsPerSecond',
  'requestsBurst', ${PLAN_ARGUMENTS})
if not h[1] then return {'no-tenant'} end
if h[1] ~= 'active' then return {'suspended'} end
local rate, burst = tonumber(h[4]), tonumber(h[5])
local elapsed = math.max(0, now - (tonumber(h[3] or now)))
local tokens = math.min(burst, tonumber(h[2] or burst) + elapsed * rate / 1000)
local admitted = tokens >= 1
if admitted then
  tokens = tokens - 1
  redis.set_repl(redis.REPL_NONE)
  redis.call('HSET', T, 'rateTokens', string.format('%.6f', tokens), 'rateAt', string.format('%.3f', now))
  redis.set_repl(redis.REPL_ALL)
end
local day = whole(math.floor(now / 86400000))
local used = redis.call('HGET', key('usage', tenant .. ':' .. day), 'cpuMs')
local reply = {admitted and 'ok' or 'limited', tenant, string.format('%.6f', tokens), used or '0'}
for i = 6, #h do reply[#reply + 1] = h[i] or '' end
return reply
`;

/** More of the bucket than the one token of the request; it may go into debt. Never waited for. */
export const SPEND = `#!lua flags=allow-oom
local T = KEYS[1] .. ':tenant:' .. ARGV[1]
local tokens = redis.call('HGET', T, 'rateTokens')
if tokens then
  redis.set_repl(redis.REPL_NONE)
  redis.call('HSET', T, 'rateTokens', string.format('%.6f', tonumber(tokens) - tonumber(ARGV[2])))
end
return {'ok'}
`;
