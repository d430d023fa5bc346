/**
 * What waits and what runs, by pool and within it by tenant. Reads only. A tenant with a backlog is in
 * the ready set, or at its cap: then it has tasks in flight.
 */
export const QUEUE_DEPTHS = `#!lua flags=no-writes
local C = KEYS[1]
local function key(kind, id) return C .. ':' .. kind .. ':' .. id end
local time = redis.call('TIME')
local now = string.format('%.3f', tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000)
local out = {}
for _, pool in ipairs(redis.call('SMEMBERS', C .. ':pools')) do
  local waiting, running = {}, {}
  for _, tenant in ipairs(redis.call('ZRANGE', key('ready', pool), 0, -1)) do waiting[tenant] = 0 end
  local inflight = redis.call('SMEMBERS', key('inflight', pool))
  for _, id in ipairs(inflight) do
    local tenant = redis.call('HGET', key('task', id), 'tenant')
    if tenant then
      waiting[tenant] = 0
      running[tenant] = (running[tenant] or 0) + 1
    end
  end
  local backlog, tenants = 0, {}
  for tenant in pairs(waiting) do
    local count = redis.call('ZCARD', C .. ':backlog:' .. pool .. ':' .. tenant)
    backlog = backlog + count
    tenants[#tenants + 1] = {tenant, count, running[tenant] or 0}
  end
  out[#out + 1] = {pool, backlog, #inflight, redis.call('ZCARD', key('delayed', pool)),
    tonumber(redis.call('GET', key('window', pool)) or '0'),
    redis.call('ZCOUNT', key('executors', pool), now, '+inf'), tenants}
end
return out
`;
