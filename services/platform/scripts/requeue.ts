import { JOB_TASKS } from './job-tasks.js';
import { RETENTION } from './retention.js';
import { SHARED } from './shared.js';

/**
 * Back to the front of its own tenant's backlog, by the holder of the token: after a fault with a time
 * before which it is not admitted, or because the executor is stopped, which does not count against
 * it. The last run's fault becomes the job's. A cancelled task does not go back.
 */
export const REQUEUE = `#!lua flags=allow-oom
${SHARED}
${RETENTION}
${JOB_TASKS}
local id, token, excused, delay = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local runsMax, ttl, problem, retryable = tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8]
local result = 9
local T = key('task', id)
local h = redis.call('HMGET', T, 'state', 'token', 'job', 'runs', 'excused', 'cancel', 'pool', 'tenant')
local job, pool, tenant = h[3], h[7], h[8]

if h[1] ~= 'running' or h[2] ~= token then
  redis.call('INCR', C .. ':fenced')
  return {'fenced'}
end
local fate = nil
if h[6] then fate = 'cancelled'
elseif excused == '0' and (retryable == '0' or tonumber(h[4]) - tonumber(h[5]) >= runsMax) then
  fate = 'failed'
end
if not release(id, slot_cost(id), true) then return {'fenced'} end

if fate then
  keep_result(job, result)
  doom(job, fate, fate == 'failed' and problem or nil)
  end_task(id, job, ttl)
  return admit_all({fate})
end

if excused == '1' then redis.call('HINCRBY', T, 'excused', 1) end
local score = front_score()
redis.call('HSET', T, 'state', 'backlog', 'queuedAt', ms(now), 'score', score)
redis.call('HDEL', T, 'token', 'executor', 'claimedAt')
-- A job of which something has run already goes on.
if redis.call('HGET', key('job', job), 'tasks') == '1' then
  redis.call('HSET', key('job', job), 'status', 'queued')
end
if delay > 0 then
  redis.call('ZADD', key('delayed', pool), ms(now + delay), id)
else
  redis.call('ZADD', backlog_key(pool, tenant), score, id)
  refresh_ready(pool, tenant)
end
tell_listeners(job)
return admit_all({'queued'})
`;
