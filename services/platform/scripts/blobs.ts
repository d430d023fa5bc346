/**
 * The books of blobs: per tenant which there are, how large, until when they are kept, which uploads are under
 * way, and which jobs refer to them.
 */
const BOOK = `
local C, tenant = KEYS[1], ARGV[1]
local function key(kind) return C .. ':' .. kind .. ':' .. tenant end
local function refs_key(sha) return C .. ':blob-refs:' .. tenant .. ':' .. sha end
local function dying_key(sha) return C .. ':blob-dying:' .. tenant .. ':' .. sha end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function keep_until(sha, ms) redis.call('ZADD', key('blobs'), 'GT', now + ms, sha) end

-- 'in <job>' holds while the job may still run, 'out <job>' while its record is there.
local function alive(ref)
  local kind, job = string.match(ref, '^(%a+) (.+)$')
  if kind == 'out' then return redis.call('EXISTS', C .. ':job:' .. job) == 1 end
  local status = redis.call('HGET', C .. ':job:' .. job, 'status')
  return status == 'queued' or status == 'running'
end
`;

/**
 * Room for an upload, which it has until it is kept, dropped, or too late. 'known': it is there already.
 * 'dying': it is just being removed; ask again.
 */
export const BLOB_ADMIT = `#!lua
${BOOK}
local sha, bytes, upload = ARGV[2], tonumber(ARGV[3]), ARGV[4]
local most, uploadMs, uploadsMax, keepMs = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7]), ARGV[8]

if redis.call('EXISTS', dying_key(sha)) == 1 then return {'dying'} end
local known = redis.call('HGET', key('blob-sizes'), sha)
if known then
  keep_until(sha, tonumber(keepMs))
  return {'known', known}
end
most = tonumber(redis.call('HGET', key('tenant'), 'blobBytesMax') or most)
redis.call('ZREMRANGEBYSCORE', key('blob-uploads'), '-inf', now)
local under_way = redis.call('ZRANGE', key('blob-uploads'), 0, -1)
if #under_way >= uploadsMax then return {'busy'} end
local total = tonumber(redis.call('GET', key('blob-bytes')) or 0)
for _, each in ipairs(under_way) do total = total + tonumber(string.match(each, ' (%d+)$')) end
if total + bytes > most then return {'full'} end
redis.call('ZADD', key('blob-uploads'), now + tonumber(uploadMs), upload .. ' ' .. bytes)
return {'go'}
`;

/** The upload is done and its content in the store. With a job, the job refers to it from now on. */
export const BLOB_KEEP = `#!lua flags=allow-oom
${BOOK}
local sha, bytes, upload, keepMs, ref = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
redis.call('ZREM', key('blob-uploads'), upload .. ' ' .. bytes)
if redis.call('HSETNX', key('blob-sizes'), sha, bytes) == 1 then
  redis.call('INCRBY', key('blob-bytes'), bytes)
  redis.call('SADD', C .. ':blob-tenants', tenant)
end
keep_until(sha, keepMs)
if ref ~= '' then redis.call('SADD', refs_key(sha), ref) end
return {'ok'}
`;

export const BLOB_DROP = `#!lua flags=allow-oom
${BOOK}
redis.call('ZREM', key('blob-uploads'), ARGV[2])
return {'ok'}
`;

/** A job refers to these; or to none of them, when one is missing. */
export const BLOB_REFER = `#!lua
${BOOK}
local ref, keepMs = ARGV[2], tonumber(ARGV[3])
local missing, found = {'missing'}, {'ok'}
for i = 4, #ARGV do
  local size = redis.call('HGET', key('blob-sizes'), ARGV[i])
  if not size then missing[#missing + 1] = ARGV[i] end
  found[#found + 1] = size or ''
end
if #missing > 1 then return missing end
for i = 4, #ARGV do
  keep_until(ARGV[i], keepMs)
  local refs = refs_key(ARGV[i])
  redis.call('SADD', refs, ref)
  -- Two are looked at for one that is added: of those that hold nothing any more there are never many.
  for _, other in ipairs(redis.call('SRANDMEMBER', refs, 2)) do
    if other ~= ref and not alive(other) then redis.call('SREM', refs, other) end
  end
end
return found
`;

/** The size of one, which counts as a use; empty when there is none. */
export const BLOB_TOUCH = `#!lua
${BOOK}
local size = redis.call('HGET', key('blob-sizes'), ARGV[2])
if not size then return {'missing'} end
keep_until(ARGV[2], tonumber(ARGV[3]))
return {'ok', size}
`;

/**
 * Strikes out what has expired and nothing refers to, some at a time, and says what that was: it may now be
 * removed from the store. Nobody can upload it anew before BLOB_BURIED, or before dyingMs are over.
 */
export const BLOB_EXPIRE = `#!lua flags=allow-oom
${BOOK}
local most, dyingMs, againMs = ARGV[2], ARGV[3], tonumber(ARGV[4])
local struck = {'ok'}
for _, sha in ipairs(redis.call('ZRANGEBYSCORE', key('blobs'), '-inf', now, 'LIMIT', 0, most)) do
  local held = false
  for _, ref in ipairs(redis.call('SMEMBERS', refs_key(sha))) do
    if alive(ref) then held = true break end
    redis.call('SREM', refs_key(sha), ref)
  end
  if held then
    redis.call('ZADD', key('blobs'), now + againMs, sha)
  else
    redis.call('ZREM', key('blobs'), sha)
    redis.call('DEL', refs_key(sha))
    redis.call('DECRBY', key('blob-bytes'), redis.call('HGET', key('blob-sizes'), sha))
    redis.call('HDEL', key('blob-sizes'), sha)
    redis.call('SET', dying_key(sha), '1', 'PX', dyingMs)
    struck[#struck + 1] = sha
  end
end
if redis.call('HLEN', key('blob-sizes')) == 0 then
  redis.call('SREM', C .. ':blob-tenants', tenant)
  redis.call('DEL', key('blob-bytes'))
end
return struck
`;

export const BLOB_BURIED = `#!lua flags=allow-oom
${BOOK}
redis.call('DEL', dying_key(ARGV[2]))
return {'ok'}
`;
