import { DELIVER } from './deliver.js';

/**
 * What all scripts share: names, clocks, and the three moves of a task between backlog, inflight and
 * terminal. Everything that admits does so through `admit`. One Redis thread runs one script at a
 * time, so each script is one step from one consistent state to the next.
 *
 * task.state: backlog -> admitted -> running -> terminal; requeue leads from running to backlog.
 */
export const SHARED = `
local C = KEYS[1]
local function key(kind, id) return C .. ':' .. kind .. ':' .. id end
local function backlog_key(pool, tenant) return C .. ':backlog:' .. pool .. ':' .. tenant end
local function num(value, default) return tonumber(value or default) end
local function ms(value) return string.format('%.3f', value) end
local function task_id(job, n) return 'task_' .. string.sub(job, 5) .. '-' .. n end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000

local DAY_MS = 86400000
-- What a tenant used today (UTC).
local function usage_key(tenant) return key('usage', tenant .. ':' .. math.floor(now / DAY_MS)) end

-- A tenant nothing is known about yet is taken to need this much slot time per task.
local EST_DEFAULT_MS = 100
-- A tenant without a cap of its own.
local RUNNING_MAX_DEFAULT = 1e9
-- What an executor does between two tasks is a twentieth of this at most.
local SHORT_MS = 250

-- Asked once: whoever adds one does it before anybody asks.
local known_pools
local function pools()
  known_pools = known_pools or redis.call('SMEMBERS', C .. ':pools')
  return known_pools
end

-- A tenant has one virtual runtime over all pools.
local function set_vr(tenant, vr)
  redis.call('HSET', key('tenant', tenant), 'vr', ms(vr))
  for _, pool in ipairs(pools()) do
    redis.call('ZADD', key('ready', pool), 'XX', ms(vr), tenant)
  end
end

-- In the ready set are the tenants that have a backlog and may run more. The score of one that was
-- idle is lifted to that of the last that got its slot: having been away earns nothing. The lift is only
-- in the score; vr itself changes when the admission happens.
local function refresh_ready(pool, tenant)
  local ready = key('ready', pool)
  local h = redis.call('HMGET', key('tenant', tenant), 'vr', 'running', 'runningMax')
  local running = num(h[2], 0)
  if running >= num(h[3], RUNNING_MAX_DEFAULT)
    or redis.call('ZCARD', backlog_key(pool, tenant)) == 0 then
    redis.call('ZREM', ready, tenant)
  elseif not redis.call('ZSCORE', ready, tenant) then
    local score = num(h[1], 0)
    if running == 0 then score = math.max(score, num(redis.call('GET', C .. ':vmin'), 0)) end
    redis.call('ZADD', ready, ms(score), tenant)
  end
end

${DELIVER}
local function promote_due(pool)
  local delayed = key('delayed', pool)
  local due = redis.call('ZRANGEBYSCORE', delayed, '-inf', ms(now), 'LIMIT', 0, 100)
  for _, id in ipairs(due) do
    local h = redis.call('HMGET', key('task', id), 'tenant', 'score')
    redis.call('ZREM', delayed, id)
    redis.call('ZADD', backlog_key(pool, h[1]), h[2], id)
    refresh_ready(pool, h[1])
  end
end

-- The one way into a slot: while there is a free one, the tenant that has had least is next. While all
-- that is in flight is short, a few short tasks are admitted ahead of the slot they will have, so that no
-- slot stands empty between two of them, and as many again of tenants of which nothing is in flight, so that
-- these have the very next slot and not the one behind those given ahead. What is admitted is in BullMQ's
-- queue when the script ends, and appended to out as '<pool> <taskId>.<admission>'.
local function admit(pool, out)
  promote_due(pool)
  local ready, inflight, long = key('ready', pool), key('inflight', pool), key('long', pool)
  local free = num(redis.call('GET', key('window', pool)), 0) - redis.call('SCARD', inflight)
  local ahead = num(redis.call('GET', key('ahead', pool)), 0)
  while free + 2 * ahead > 0 do
    local first = redis.call('ZRANGE', ready, 0, 0, 'WITHSCORES')
    if #first == 0 then break end
    local tenant, vr = first[1], tonumber(first[2])
    local h = redis.call('HMGET', key('tenant', tenant), 'weight', 'est', 'running')
    -- Of whom nothing is known nothing is expected.
    local is_short = num(h[2], math.huge) <= SHORT_MS
    if free <= 0 and (not is_short or redis.call('SCARD', long) > 0) then break end
    if free + ahead <= 0 and num(h[3], 0) > 0 then break end
    local popped = redis.call('ZPOPMIN', backlog_key(pool, tenant))
    if #popped > 0 then
      local T, id = key('tenant', tenant), popped[1]
      local weight, est = num(h[1], 1), num(h[2], EST_DEFAULT_MS)
      redis.call('HINCRBY', T, 'running', 1)
      redis.call('SADD', inflight, id)
      if not is_short then redis.call('SADD', long, id) end
      redis.call('HSET', key('task', id), 'state', 'admitted', 'est', ms(est),
        'admittedAt', ms(now), 'turn', ms(vr))
      local admission = redis.call('HINCRBY', key('task', id), 'admission', 1)
      set_vr(tenant, vr + est / weight)
      deliver(pool, id .. '.' .. admission, ms(vr))
      out[#out + 1] = pool .. ' ' .. id .. '.' .. admission
      free = free - 1
    end
    for _, other in ipairs(pools()) do refresh_ready(other, tenant) end
  end
  return out
end

local function admit_all(out)
  for _, pool in ipairs(pools()) do admit(pool, out) end
  return out
end

-- Takes a task out of inflight and corrects the estimate it was charged. cost is slot time; measured
-- says whether it may teach the tenant's average. False when the task held no slot.
local function release(id, cost, measured)
  local h = redis.call('HMGET', key('task', id), 'pool', 'tenant', 'est')
  local pool, tenant, est = h[1], h[2], num(h[3], 0)
  if redis.call('SREM', key('inflight', pool), id) == 0 then return false end
  redis.call('SREM', key('long', pool), id)
  local T = key('tenant', tenant)
  redis.call('HINCRBY', T, 'running', -1)
  local g = redis.call('HMGET', T, 'vr', 'weight', 'est')
  if measured then
    redis.call('HSET', T, 'est', ms(num(g[3], EST_DEFAULT_MS) * 0.9 + cost * 0.1))
    redis.call('HINCRBYFLOAT', T, 'slotMs', ms(cost))
    redis.call('HINCRBYFLOAT', usage_key(tenant), 'slotMs', ms(cost))
  end
  set_vr(tenant, num(g[1], 0) + (cost - est) / num(g[2], 1))
  for _, other in ipairs(pools()) do refresh_ready(other, tenant) end
  return true
end

-- Slot time of a task that was claimed: by the clock, times the CPUs it had to itself.
local function slot_cost(id)
  local h = redis.call('HMGET', key('task', id), 'claimedAt', 'cpus')
  if not h[1] then return 0 end
  return math.max(0, now - tonumber(h[1])) * math.max(1, num(h[2], 1))
end
`;
