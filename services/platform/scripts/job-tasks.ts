import { CALLBACKS } from './callbacks.js';

/**
 * A job and its tasks: how they come into being, how each is over, and how the last one ends the job.
 * For every script that makes or ends tasks, behind SHARED and RETENTION.
 *
 * job.open: tasks that are not over. job.tasks: how many there have been. job.parallel: how many of a
 * job's parts may have a task at once. job.fate: how the job will end because something of it was
 * dropped or failed; what has a fate gets no new tasks.
 */
export const JOB_TASKS = `
${CALLBACKS}
-- A task that is over is remembered for as long as its end may be told again.
local TASK_KEPT_MS = 60000

local function pending_key(job) return key('pending', job) end
local function next_seq() return redis.call('INCR', C .. ':seq') end
-- Ahead of every priority, and first in, first out among themselves.
local function front_score() return -1e13 + next_seq() end

-- part is '' for the whole job.
local function add_task(job, n, tenant, pool, cpus, part, score)
  local id = task_id(job, n)
  redis.call('HSET', key('task', id), 'job', job, 'tenant', tenant, 'pool', pool,
    'state', 'backlog', 'queuedAt', ms(now), 'cpus', cpus, 'score', score, 'runs', 0, 'excused', 0,
    'admission', 0)
  if part ~= '' then redis.call('HSET', key('task', id), 'part', part) end
  redis.call('ZADD', backlog_key(pool, tenant), score, id)
end

-- The first fate of a job stands.
local function doom(job, fate, problem)
  if redis.call('HSETNX', key('job', job), 'fate', fate) == 1 and problem and problem ~= '' then
    redis.call('HSET', key('job', job), 'problem', problem)
  end
end

-- Whoever follows the job at a replica looks at it again.
local function tell_listeners(job)
  for _, channel in ipairs(redis.call('SMEMBERS', key('listeners', job))) do
    redis.call('PUBLISH', channel, '{"kind":"changed","jobId":"' .. job .. '"}')
  end
end

-- The end of a job, for the replica that took it: its id and, when they are small, its record and its
-- result as that replica would read them now.
local TOLD_BYTES_MAX = 16384
local function told(job, bytes)
  if bytes > TOLD_BYTES_MAX then return job end
  local whole = {redis.call('HGETALL', key('job', job)), redis.call('HGETALL', key('result', job))}
  return job .. ' ' .. cjson.encode(whole)
end

-- Ends a job that has no task any more, tells whoever waits for it, and starts its retention.
local function finish(job, status, ttl)
  local J, spec = key('job', job), key('spec', job)
  local h = redis.call('HMGET', J, 'tenant', 'channel', 'bytes', 'callback')
  local tenant = h[1]
  redis.call('HSET', J, 'status', status, 'finishedAt', ms(now))
  redis.call('HDEL', J, 'open', 'tasks', 'parallel', 'fate')
  redis.call('HINCRBY', key('tenant', tenant), 'queuedBytes', -redis.call('STRLEN', spec))
  redis.call('DEL', spec, pending_key(job))
  bill(tenant, 'jobs', 1)
  local kept_ms = keep(tenant, job, num(h[3], 0), ttl)
  redis.call('PEXPIRE', J, kept_ms)
  redis.call('PEXPIRE', key('result', job), kept_ms)
  if h[4] then due_callback(job, tenant) end
  redis.call('PUBLISH', h[2], told(job, num(h[3], 0)))
  local watchers = key('watchers', job)
  for _, channel in ipairs(redis.call('SMEMBERS', watchers)) do
    redis.call('PUBLISH', channel, job)
  end
  tell_listeners(job)
  redis.call('DEL', watchers, key('listeners', job))
end

-- Parts that wait get tasks, at the front of the tenant's own backlog, as far as job.parallel goes.
local function add_pending(job, open)
  local J = key('job', job)
  local h = redis.call('HMGET', J, 'parallel', 'tasks', 'tenant', 'pool', 'cpus')
  local parallel, n = num(h[1], 1), tonumber(h[2])
  while open < parallel do
    local part = redis.call('LPOP', pending_key(job))
    if not part then break end
    n, open = n + 1, open + 1
    add_task(job, n, h[3], h[4], h[5], part, front_score())
  end
  redis.call('HSET', J, 'tasks', n, 'open', open)
  refresh_ready(h[4], h[3])
  return open
end

local function bury(id)
  redis.call('HSET', key('task', id), 'state', 'terminal')
  redis.call('PEXPIRE', key('task', id), TASK_KEPT_MS)
end

-- Drops the parts and the tasks of a job that wait; with all, what is admitted as well, and what runs
-- is told to stop. Returns how much was dropped, and how many tasks are left.
local function drop_tasks(job, all)
  local J = key('job', job)
  local h = redis.call('HMGET', J, 'open', 'tasks', 'tenant', 'pool')
  local open, tenant, pool = tonumber(h[1]), h[3], h[4]
  local dropped, left = redis.call('LLEN', pending_key(job)), open
  redis.call('DEL', pending_key(job))
  for n = tonumber(h[2]), 1, -1 do
    if open == 0 then break end
    local id = task_id(job, n)
    local t = redis.call('HMGET', key('task', id), 'state', 'executor', 'token')
    if t[1] and t[1] ~= 'terminal' then open = open - 1 end
    local drop = t[1] == 'backlog' or (all and t[1] == 'admitted')
    if t[1] == 'backlog' then
      redis.call('ZREM', backlog_key(pool, tenant), id)
      redis.call('ZREM', key('delayed', pool), id)
    elseif drop then
      release(id, 0, false)
    elseif all and t[1] == 'running' then
      redis.call('HSET', key('task', id), 'cancel', '1')
      redis.call('PUBLISH', key('control', t[2]), '{"kind":"cancel","runToken":"' .. t[3] .. '"}')
    end
    if drop then
      bury(id)
      dropped, left = dropped + 1, left - 1
    end
  end
  redis.call('HSET', J, 'open', left)
  refresh_ready(pool, tenant)
  return dropped, left
end

-- A task that holds no slot and waits nowhere is over. The next of its job's parts gets a task, unless
-- the job is doomed: then everything else of it goes, too. The end of the last task is the end of the job.
local function end_task(id, job, ttl)
  local J = key('job', job)
  bury(id)
  local open = redis.call('HINCRBY', J, 'open', -1)
  local h = redis.call('HMGET', J, 'fate', 'parallel')
  if h[1] then
    if open > 0 then open = select(2, drop_tasks(job, true)) end
  elseif h[2] then
    open = add_pending(job, open)
  end
  if open == 0 then finish(job, h[1] or 'finished', ttl) end
end

-- What a run brought is the job's; what the parts of a job brought adds up. From first on, in the
-- arguments, when there is anything: the image, and box time, bytes, CPU time and memory of what ran; then
-- the heavy half, as names and values.
local function keep_result(job, first)
  if #ARGV < first then return end
  local J, R = key('job', job), key('result', job)
  for i = first + 5, #ARGV, 2 do redis.call('HSET', R, ARGV[i], ARGV[i + 1]) end
  redis.call('HSET', J, 'image', ARGV[first])
  redis.call('HINCRBYFLOAT', J, 'boxMs', ARGV[first + 1])
  redis.call('HINCRBY', J, 'bytes', ARGV[first + 2])
  local tenant = redis.call('HGET', J, 'tenant')
  bill(tenant, 'cpuMs', ARGV[first + 3])
  bill(tenant, 'memoryByteMs', ARGV[first + 4])
end
`;
