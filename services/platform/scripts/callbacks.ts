/**
 * Callbacks that are due: a queue for each tenant, by when its next attempt is, and the tenants by when
 * they have one. A sender leases what is due, and reports how the attempt went; a lease that nobody
 * reports on is due again by itself. What is in the queue keeps its record, secret and body until it is over.
 */
import { SHARED } from './shared.js';

/** Behind SHARED. */
export const CALLBACKS = `
-- So many that their receiver can be away for a while, and so few that they do not fill the Redis of all.
local CALLBACKS_MAX = 10000

local function add_callback(job, url, secret)
  redis.call('HSET', key('callback', job), 'url', url, 'state', 'pending', 'attempts', 0)
  redis.call('SET', key('callback-secret', job), secret)
end

local function due_callback(job, tenant)
  redis.call('HSET', key('callback', job), 'endedAt', ms(now), 'next', ms(now))
  redis.call('ZADD', key('callbacks', tenant), ms(now), job)
  redis.call('ZADD', C .. ':callback-tenants', 'LT', ms(now), tenant)
  redis.call('PUBLISH', C .. ':callbacks-due', '')
end
`;

const QUEUE = `
-- Slow receivers of one tenant must not hold up those of the others.
local IN_FLIGHT_MAX = 4
local TENANTS_MAX = 50
local FLIGHT_FULL_MS = 1000

local function reschedule(tenant)
  local first = redis.call('ZRANGE', key('callbacks', tenant), 0, 0, 'WITHSCORES')
  if #first == 0 then
    redis.call('ZREM', C .. ':callback-tenants', tenant)
    return
  end
  local at = tonumber(first[2])
  if redis.call('ZCARD', key('callback-flight', tenant)) >= IN_FLIGHT_MAX then
    at = math.max(at, now + FLIGHT_FULL_MS)
  end
  redis.call('ZADD', C .. ':callback-tenants', ms(at), tenant)
end

-- Its record is kept for as long as the job can be read.
local function end_callback(job, tenant)
  local bodies = key('callback-bodies', tenant)
  redis.call('ZREM', key('callbacks', tenant), job)
  redis.call('ZREM', key('callback-flight', tenant), job)
  redis.call('DECRBY', key('callback-bytes', tenant), redis.call('HSTRLEN', bodies, job))
  redis.call('HDEL', bodies, job)
  redis.call('DEL', key('callback-secret', job))
  redis.call('HDEL', key('callback', job), 'next')
  local left = redis.call('PTTL', key('job', job))
  if left > 0 then redis.call('PEXPIRE', key('callback', job), left)
  else redis.call('DEL', key('callback', job)) end
  if redis.call('ZCARD', key('callbacks', tenant)) == 0 then
    redis.call('DEL', key('callback-bytes', tenant))
  end
end
`;

/** At most so many attempts for the caller to make, each as six strings. */
export const LEASE_CALLBACKS = `#!lua flags=allow-oom
${SHARED}
${QUEUE}
local room, lease = tonumber(ARGV[1]), tonumber(ARGV[2])
local leased = {'ok'}

local function lease_one(job, tenant)
  local K = key('callback', job)
  local url, secret = redis.call('HGET', K, 'url'), redis.call('GET', key('callback-secret', job))
  -- Of a tenant that was deleted nothing is told any more.
  if not url or not secret or redis.call('HEXISTS', key('tenant', tenant), 'status') == 0 then
    end_callback(job, tenant)
    return
  end
  local attempt = redis.call('HINCRBY', K, 'attempts', 1)
  redis.call('HSET', K, 'next', ms(now + lease))
  redis.call('ZADD', key('callbacks', tenant), ms(now + lease), job)
  redis.call('ZADD', key('callback-flight', tenant), ms(now + lease), job)
  local body = redis.call('HGET', key('callback-bodies', tenant), job) or ''
  for _, each in ipairs({job, tenant, tostring(attempt), url, secret, body}) do
    leased[#leased + 1] = each
  end
  room = room - 1
end

for _, tenant in ipairs(redis.call('ZRANGEBYSCORE', C .. ':callback-tenants', '-inf', ms(now),
  'LIMIT', 0, TENANTS_MAX)) do
  local flight = key('callback-flight', tenant)
  redis.call('ZREMRANGEBYSCORE', flight, '-inf', ms(now))
  local free = math.min(room, IN_FLIGHT_MAX - redis.call('ZCARD', flight))
  if free > 0 then
    for _, job in ipairs(redis.call('ZRANGEBYSCORE', key('callbacks', tenant), '-inf', ms(now),
      'LIMIT', 0, free)) do
      lease_one(job, tenant)
    end
  end
  reschedule(tenant)
end
return leased
`;

/** How an attempt went. Whoever was so late that another one has begun is not heard. */
export const REPORT_CALLBACK = `#!lua flags=allow-oom
${SHARED}
${QUEUE}
local job, tenant, attempt, outcome, status = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local delay, last = tonumber(ARGV[6]), tonumber(ARGV[7])
local K = key('callback', job)
local h = redis.call('HMGET', K, 'attempts', 'state', 'endedAt')
if h[1] ~= attempt or h[2] ~= 'pending' then return {'stale'} end

if status == '' then redis.call('HDEL', K, 'lastStatus')
else redis.call('HSET', K, 'lastStatus', status) end
local over = outcome ~= 'retry' or now + delay > tonumber(h[3]) + last
if over then
  outcome = outcome == 'delivered' and 'delivered' or 'failed'
  redis.call('HSET', K, 'state', outcome)
  end_callback(job, tenant)
else
  redis.call('ZREM', key('callback-flight', tenant), job)
  redis.call('HSET', K, 'next', ms(now + delay))
  redis.call('ZADD', key('callbacks', tenant), ms(now + delay), job)
end
reschedule(tenant)
return {outcome}
`;

/** The job may be gone long before its receiver is back. Bodies of one tenant have a limit in all. */
export const STORE_CALLBACK_BODY = `#!lua
local C, job, tenant, body, most = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local total = C .. ':callback-bytes:' .. tenant
if not redis.call('ZSCORE', C .. ':callbacks:' .. tenant, job) then return {'gone'} end
if tonumber(redis.call('GET', total) or 0) + #body > most then return {'full'} end
if redis.call('HSETNX', C .. ':callback-bodies:' .. tenant, job, body) == 1 then
  redis.call('INCRBY', total, #body)
end
return {'ok'}
`;
