import { JOB_TASKS } from './job-tasks.js';
import { RETENTION } from './retention.js';
import { SHARED } from './shared.js';

/**
 * What waits ends at once and never starts, admitted or not. What runs is marked, and its executor is
 * told; it ends when its processes are dead.
 */
export const CANCEL = `#!lua flags=allow-oom
${SHARED}
${RETENTION}
${JOB_TASKS}
local job, tenant, ttl = ARGV[1], ARGV[2], ARGV[3]
local j = redis.call('HMGET', key('job', job), 'tenant', 'open')
if not j[1] or j[1] ~= tenant then return {'missing'} end
if not j[2] then return {'final'} end

local dropped, left = drop_tasks(job, true)
if dropped > 0 then doom(job, 'cancelled') end
if left > 0 then return admit_all({'cancelling'}) end
finish(job, redis.call('HGET', key('job', job), 'fate'), ttl)
return admit_all({'cancelled'})
`;
