/**
 * What is kept of ended jobs, and what tenants are billed. A tenant's ended jobs go when they are old, or
 * earlier when there are too many or too large ones; the one that has just ended always stays.
 * Behind SHARED.
 */
export const RETENTION = `
local JOBS_KEPT_DEFAULT = 10000
local BYTES_KEPT_DEFAULT = 268435456
-- A record with its keys, besides what the client made as large as it is.
local RECORD_BYTES = 1024
-- As many at once as do not hold up others.
local FORGET_MAX = 200
local USAGE_KEPT_MS = 400 * DAY_MS

local function bill(tenant, field, amount)
  redis.call('HINCRBYFLOAT', usage_key(tenant), field, amount)
  if field == 'jobs' then redis.call('PEXPIRE', usage_key(tenant), USAGE_KEPT_MS) end
end

-- kept: '<job> <bytes>' by the time of its end.
local function forget_some(tenant, ttl, spared)
  local kept, total = key('kept', tenant), key('kept-bytes', tenant)
  local h = redis.call('HMGET', key('tenant', tenant), 'retentionMs', 'jobsKept', 'bytesKept')
  local oldest = now - num(h[1], ttl)
  local jobs_max, bytes_max = num(h[2], JOBS_KEPT_DEFAULT), num(h[3], BYTES_KEPT_DEFAULT)
  local count, bytes = redis.call('ZCARD', kept), num(redis.call('GET', total), 0)
  for _ = 1, FORGET_MAX do
    local first = redis.call('ZRANGE', kept, 0, 0, 'WITHSCORES')
    if count <= spared then break end
    if count <= jobs_max and bytes <= bytes_max and tonumber(first[2]) > oldest then break end
    local job, size = string.match(first[1], '(%S+) (%d+)')
    redis.call('ZREM', kept, first[1])
    redis.call('ZREM', key('jobs', tenant), job)
    redis.call('DEL', key('job', job), key('result', job))
    count, bytes = count - 1, bytes - tonumber(size)
  end
  redis.call('SET', total, string.format('%.0f', bytes))
end

-- Returns how long the job is kept.
local function keep(tenant, job, size, ttl)
  local kept_ms = num(redis.call('HGET', key('tenant', tenant), 'retentionMs'), ttl)
  size = string.format('%.0f', RECORD_BYTES + size)
  redis.call('ZADD', key('kept', tenant), ms(now), job .. ' ' .. size)
  redis.call('INCRBY', key('kept-bytes', tenant), size)
  redis.call('ZADD', C .. ':sweeps', 'NX', ms(now + kept_ms), tenant)
  forget_some(tenant, ttl, 1)
  return kept_ms
end

-- For tenants that end nothing any more: their old jobs expire by themselves, the lists of them here.
local function sweep(ttl)
  local sweeps = C .. ':sweeps'
  for _, tenant in ipairs(redis.call('ZRANGEBYSCORE', sweeps, '-inf', ms(now), 'LIMIT', 0, 10)) do
    forget_some(tenant, ttl, 0)
    local first = redis.call('ZRANGE', key('kept', tenant), 0, 0, 'WITHSCORES')
    if #first == 0 then
      redis.call('ZREM', sweeps, tenant)
      redis.call('DEL', key('kept-bytes', tenant))
    else
      local kept_ms = num(redis.call('HGET', key('tenant', tenant), 'retentionMs'), ttl)
      redis.call('ZADD', sweeps, ms(tonumber(first[2]) + kept_ms), tenant)
    end
  end
end
`;
