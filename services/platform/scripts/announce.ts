import { RETENTION } from './retention.js';
import { SHARED } from './shared.js';

/** The window of a pool is the slots of its live executors; whoever stopped announcing drops out. */
const WINDOW = `
local function refresh_window(pool)
  local executors, slots = key('executors', pool), key('slots', pool)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', executors, '-inf', ms(now))) do
    redis.call('ZREM', executors, id)
    redis.call('HDEL', slots, id)
    redis.call('HDEL', key('aheads', pool), id)
    redis.call('HDEL', key('image-sets', pool), id)
  end
  local window = 0
  for _, count in ipairs(redis.call('HVALS', slots)) do window = window + tonumber(count) end
  redis.call('SET', key('window', pool), window)
  local ahead = 0
  for _, count in ipairs(redis.call('HVALS', key('aheads', pool))) do ahead = ahead + tonumber(count) end
  redis.call('SET', key('ahead', pool), ahead)
end

-- A pool serves what every one of its live executors has: a worker cannot choose its task.
local function refresh_images(pool)
  local executors, having = 0, {}
  for _, images in ipairs(redis.call('HVALS', key('image-sets', pool))) do
    executors = executors + 1
    for image in string.gmatch(images, '[^,]+') do having[image] = (having[image] or 0) + 1 end
  end
  redis.call('DEL', key('images', pool))
  for image, count in pairs(having) do
    if count == executors then
      redis.call('SADD', key('images', pool), image)
      redis.call('SADD', key('images-ever', pool), image)
    end
  end
end
`;

/**
 * An executor's heartbeat; with no slots it withdraws. It names what it runs, and hears which of that
 * to stop: what a client cancelled, and what another executor holds by now.
 */
export const ANNOUNCE = `#!lua flags=allow-oom
${SHARED}
${WINDOW}
local pool, executor, slots, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local images, ahead = ARGV[5], ARGV[6]
redis.call('SADD', C .. ':pools', pool)
if slots > 0 then
  redis.call('ZADD', key('executors', pool), ms(now + ttl), executor)
  redis.call('HSET', key('slots', pool), executor, slots)
  redis.call('HSET', key('aheads', pool), executor, ahead)
  redis.call('HSET', key('image-sets', pool), executor, images)
else
  redis.call('ZREM', key('executors', pool), executor)
  redis.call('HDEL', key('slots', pool), executor)
  redis.call('HDEL', key('aheads', pool), executor)
  redis.call('HDEL', key('image-sets', pool), executor)
end
refresh_window(pool)
refresh_images(pool)
local stop = {}
for i = 7, #ARGV, 2 do
  local h = redis.call('HMGET', key('task', ARGV[i]), 'token', 'cancel')
  if h[1] ~= ARGV[i + 1] then stop[#stop + 1] = ARGV[i + 1] .. ' fenced'
  elseif h[2] then stop[#stop + 1] = ARGV[i + 1] .. ' cancel' end
end
return {stop, admit(pool, {})}
`;

/**
 * The reconciler's look: the windows are counted anew, what has become due is admitted, and what is in
 * flight and unknown to BullMQ is delivered again, under the same admission. Answers with the latter.
 */
export const RECONCILE = `#!lua flags=allow-oom
${SHARED}
${RETENTION}
${WINDOW}
local again = {}
sweep(ARGV[1])
for _, pool in ipairs(pools()) do
  refresh_window(pool)
  refresh_images(pool)
  admit(pool, {})
  for _, id in ipairs(redis.call('SMEMBERS', key('inflight', pool))) do
    local h = redis.call('HMGET', key('task', id), 'admission', 'turn')
    local delivery = id .. '.' .. h[1]
    if not delivered(pool, delivery) then
      deliver(pool, delivery, h[2] or 0)
      again[#again + 1] = pool .. ' ' .. delivery
    end
  end
  wake(pool)
end
return again
`;
