/**
 * A client that repeats a submission under the same key gets the same job. For the submit script, so that
 * two repeats at once cannot both make one. `idem` is '' or '<digest of the key> <digest of the body>'.
 */
export const IDEMPOTENCY = `
local IDEM_KEPT_MS = 86400000

local function idem_parts(idem) return string.match(idem, '(%S+) (%S+)') end

-- Nil: nothing was submitted under this key. What has expired from the records is told apart.
local function earlier_submission(tenant, idem, job)
  if idem == '' then return nil end
  local id, body = idem_parts(idem)
  local h = redis.call('HMGET', key('idem', tenant .. ':' .. id), 'job', 'body')
  -- Our own: the client library repeats what it had no answer to.
  if not h[1] or h[1] == job then return nil end
  if h[2] ~= body then return {'other-body'} end
  if redis.call('EXISTS', key('job', h[1])) == 0 then return {'expired'} end
  return {'replay', h[1]}
end

local function remember_submission(tenant, idem, job)
  if idem == '' then return end
  local id, body = idem_parts(idem)
  local I = key('idem', tenant .. ':' .. id)
  redis.call('HSET', I, 'job', job, 'body', body)
  redis.call('PEXPIRE', I, IDEM_KEPT_MS)
end
`;
