import { JOB_TASKS } from './job-tasks.js';
import { RETENTION } from './retention.js';
import { SHARED } from './shared.js';

/**
 * The end of a task, by the holder of its token and once: state, result, release, charge, what comes
 * next in its job, the next admission and the notification change together or not at all.
 */
export const SETTLE = `#!lua flags=allow-oom
${SHARED}
${RETENTION}
${JOB_TASKS}
local id, token, status, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local stop, asks, parallel, nextParts = ARGV[5], ARGV[6], ARGV[7], 9
local result = nextParts + tonumber(ARGV[8])
local h = redis.call('HMGET', key('task', id), 'state', 'token', 'job', 'cancel', 'pool')
local job = h[3]

-- Settled by this very run before; only the answer was lost.
if h[1] == 'terminal' and h[2] == token then return {'ok', ms(now)} end
if h[1] ~= 'running' or h[2] ~= token then
  redis.call('INCR', C .. ':fenced')
  return {'fenced'}
end
if not release(id, slot_cost(id), true) then return {'fenced'} end
keep_result(job, result)
if asks == '1' then asking = h[5] end

local hasNext = result > nextParts
-- Too late to stop what has finished, but what would have come next does not come.
if status == 'cancelled' or (hasNext and h[4]) then
  doom(job, 'cancelled')
elseif hasNext then
  redis.call('HSET', key('job', job), 'parallel', parallel)
  for i = nextParts, result - 1 do redis.call('RPUSH', pending_key(job), ARGV[i]) end
end
if stop == '1' then drop_tasks(job, false) end
end_task(id, job, ttl)
return admit_all({'ok', ms(now)})
`;
