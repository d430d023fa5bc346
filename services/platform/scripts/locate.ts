import { SHARED } from './shared.js';

/**
 * Where the runs of a job are, for whoever wants to talk to them: '<executor> <token> <run>' of each. With
 * a channel, changes of the job are announced there from now on. `cpus` is what its runs are charged for
 * from now on, should it be more than before.
 */
export const LOCATE = `#!lua flags=allow-oom
${SHARED}
local job, tenant, channel, ttl, cpus = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local j = redis.call('HMGET', key('job', job), 'tenant', 'status', 'runs', 'open', 'tasks')
if not j[1] or j[1] ~= tenant then return {'missing'} end
if j[2] ~= 'queued' and j[2] ~= 'running' then return {'final', j[3]} end
if channel ~= '' then
  redis.call('SADD', key('listeners', job), channel)
  redis.call('PEXPIRE', key('listeners', job), ttl)
end
local open, found = num(j[4], 0), {j[2], j[3]}
for n = num(j[5], 0), 1, -1 do
  if open == 0 then break end
  local T = key('task', task_id(job, n))
  local t = redis.call('HMGET', T, 'state', 'executor', 'token', 'runs', 'cpus')
  if t[1] and t[1] ~= 'terminal' then open = open - 1 end
  if t[1] == 'running' then
    found[#found + 1] = t[2] .. ' ' .. t[3] .. ' ' .. t[4]
    if cpus ~= '' and tonumber(cpus) > num(t[5], 1) then redis.call('HSET', T, 'cpus', cpus) end
  end
end
return found
`;
