/**
 * What is admitted is in BullMQ's queue at once: its own script for adding a job, called by ours. So an
 * admission needs no second trip, and nobody can die between the two. Behind SHARED's names.
 */
import { addStandardJob } from 'bullmq/dist/esm/scripts/addStandardJob-9.js';
import { QUEUE_NAME_PREFIX } from '../keys.js';

export const DELIVER = `
local function bullmq_add(KEYS, ARGV)
${addStandardJob.content}
end

local function queue_key(pool) return C .. ':${QUEUE_NAME_PREFIX}' .. pool .. ':' end

local function delivered(pool, id) return redis.call('EXISTS', queue_key(pool) .. id) == 1 end

-- The pool of the worker that settles: it asks for its next task at once, and nobody needs to be woken.
local asking = nil

-- One try, because faults are requeued by us; nothing is kept, because the records are ours. Those that
-- wait in an executor for a slot have it in the order of their turns.
local function deliver(pool, id, turn)
  local queue = queue_key(pool)
  local keys = {}
  for i, name in ipairs({'wait', 'paused', 'meta', 'id', 'completed', 'delayed', 'active', 'events',
    'marker'}) do keys[i] = queue .. name end
  bullmq_add(keys, {
    cmsgpack.pack({queue, id, 'task', math.floor(now)}),
    '{"turn":' .. turn .. '}',
    cmsgpack.pack({jobId = id, attempts = 1, removeOnComplete = true, removeOnFail = true})
  })
  if pool == asking then
    asking = nil
    redis.call('DEL', queue .. 'marker')
  end
end

-- Whoever said it would ask may have died.
local function wake(pool)
  if redis.call('LLEN', queue_key(pool) .. 'wait') > 0 then
    redis.call('ZADD', queue_key(pool) .. 'marker', 0, '0')
  end
end
`;
