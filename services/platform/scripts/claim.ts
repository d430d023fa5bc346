import { JOB_TASKS } from './job-tasks.js';
import { RETENTION } from './retention.js';
import { SHARED } from './shared.js';

/**
 * From admitted to running: a fresh token, and one run more. A task that is running already is claimed
 * anew when BullMQ delivers it again, because then its executor is dead or frozen: the new token
 * shuts the old holder out. Any other state and any older admission is refused.
 */
export const CLAIM = `#!lua flags=allow-oom
${SHARED}
${RETENTION}
${JOB_TASKS}
local id, admission, token, executor = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local runsMax, ttl, lost = tonumber(ARGV[5]), ARGV[6], ARGV[7]
local T = key('task', id)
local h = redis.call('HMGET', T, 'state', 'admission', 'token', 'runs', 'excused', 'cancel', 'job',
  'tenant', 'part', 'queuedAt', 'admittedAt', 'turn')
local state, job, tenant, part = h[1], h[7], h[8], h[9] or ''
local queuedAt, admittedAt, turn = h[10] or ms(now), h[11] or ms(now), h[12]

if not state then return {'gone'} end
if h[2] ~= admission then return {'stale'} end
if state ~= 'admitted' and state ~= 'running' then return {'ended'} end
if h[3] == token then return {'go', h[4], job, tenant, part, queuedAt, admittedAt} end

local fate = nil
if h[6] then fate = 'cancelled'
elseif tonumber(h[4]) - tonumber(h[5]) >= runsMax then fate = 'failed' end
if fate then
  release(id, slot_cost(id), true)
  doom(job, fate, fate == 'failed' and lost or nil)
  end_task(id, job, ttl)
  return admit_all({'ended'})
end

local J = key('job', job)
local runs = redis.call('HINCRBY', T, 'runs', 1)
redis.call('HSET', T, 'state', 'running', 'token', token, 'executor', executor)
-- A slot is paid for from its first claim on, whoever holds it in the end.
if state == 'admitted' then
  redis.call('HSET', T, 'claimedAt', ms(now))
  -- What was admitted before an upgrade may have none.
  if turn then redis.call('SET', C .. ':vmin', turn) end
end
local j = redis.call('HMGET', J, 'runs', 'startedAt')
redis.call('HSET', J, 'status', 'running', 'executor', executor,
  'runs', math.max(runs, tonumber(j[1])), 'startedAt', j[2] or ms(now))
tell_listeners(job)
return {'go', tostring(runs), job, tenant, part, queuedAt, admittedAt}
`;
