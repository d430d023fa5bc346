/**
 * Whoever waits for a job that another replica took has to ask to be told. Forgotten after a while,
 * should the job never end; a job that has ended tells nobody any more.
 */
export const WATCH = `#!lua flags=allow-oom
local C = KEYS[1]
local status = redis.call('HGET', C .. ':job:' .. ARGV[1], 'status')
if status == 'queued' or status == 'running' then
  redis.call('SADD', C .. ':watchers:' .. ARGV[1], ARGV[2])
  redis.call('PEXPIRE', C .. ':watchers:' .. ARGV[1], ARGV[3])
end
return {'ok'}
`;
