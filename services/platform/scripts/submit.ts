import { IDEMPOTENCY } from './idempotency.js';
import { JOB_TASKS } from './job-tasks.js';
import { RETENTION } from './retention.js';
import { SHARED } from './shared.js';

/**
 * A pool serves the images that all of its live executors have. A job goes to the first pool its tenant
 * may use that serves its image; else it waits where that was served before. When the pools are known
 * and none ever had the image, it would wait for ever.
 */
const CHOOSE_POOL = `
local function choose_pool(allowed, image)
  local known, waits, first = false, nil, nil
  for pool in string.gmatch(allowed, '[%w-]+') do
    first = first or pool
    if redis.call('SISMEMBER', key('images', pool), image) == 1 then return pool end
    local ever = key('images-ever', pool)
    known = known or redis.call('EXISTS', ever) == 1
    if not waits and redis.call('SISMEMBER', ever, image) == 1 then waits = pool end
  end
  return waits or (not known and first or nil)
end
`;

/**
 * A job enters its tenant's backlog with its first tasks (one, unless it comes in parts), and whatever
 * is next is admitted.
 * Sending it twice does nothing the second time: the client library repeats what it had no answer to.
 */
export const SUBMIT = `#!lua
${SHARED}
${RETENTION}
${JOB_TASKS}
${IDEMPOTENCY}
${CHOOSE_POOL}
local job, tenant, allowed = ARGV[1], ARGV[2], ARGV[3]
local priority, cpus, channel = tonumber(ARGV[4]), ARGV[5], ARGV[6]
local language, image, metadata, spec = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local parallel, idem, callback, secret, firstPart = ARGV[11], ARGV[12], ARGV[13], ARGV[14], 15
-- Waiting jobs of one tenant must not fill the Redis of all.
local QUEUED_BYTES_DEFAULT = 134217728
local plan = redis.call('HMGET', key('tenant', tenant), 'queuedMax', 'queuedBytesMax', 'queuedBytes',
  'pools')

if redis.call('EXISTS', key('job', job)) == 1 then
  return {'ok', redis.call('HGET', key('job', job), 'createdAt')}
end
local earlier = earlier_submission(tenant, idem, job)
if earlier then return earlier end
local pool = choose_pool(plan[4] or allowed, image)
if not pool then return {'no-image'} end
if redis.call('ZCARD', backlog_key(pool, tenant)) >= num(plan[1], 10000)
  or num(plan[3], 0) + #spec > num(plan[2], QUEUED_BYTES_DEFAULT) then return {'full'} end

if callback ~= '' and redis.call('ZCARD', key('callbacks', tenant)) >= CALLBACKS_MAX then
  return {'full'}
end

redis.call('SADD', C .. ':pools', pool)
local J = key('job', job)
local tasks = 0
for i = firstPart, #ARGV do
  if tasks < tonumber(parallel) then
    tasks = tasks + 1
    add_task(job, tasks, tenant, pool, cpus, ARGV[i], (9 - priority) * 1e13 + next_seq())
  else
    redis.call('RPUSH', pending_key(job), ARGV[i])
  end
end
redis.call('HSET', J, 'tenant', tenant, 'status', 'queued', 'language', language, 'image', image,
  'metadata', metadata, 'channel', channel, 'createdAt', ms(now), 'runs', 0, 'pool', pool,
  'cpus', cpus, 'tasks', tasks, 'open', tasks, 'bytes', #metadata)
if callback ~= '' then
  redis.call('HSET', J, 'callback', '1')
  add_callback(job, callback, secret)
end
if #ARGV > firstPart then redis.call('HSET', J, 'parallel', parallel) end
redis.call('SET', key('spec', job), spec)
redis.call('HINCRBY', key('tenant', tenant), 'queuedBytes', #spec)
redis.call('ZADD', key('jobs', tenant), ms(now), job)
remember_submission(tenant, idem, job)
refresh_ready(pool, tenant)
return admit(pool, {'ok', ms(now)})
`;
