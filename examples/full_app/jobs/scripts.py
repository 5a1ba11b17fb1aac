"""The Lua of job records: every change and its event, together or not at all.

KEYS of each: the record, the job's event stream, `jobs:live`, then items or request.
An event's id is `{attempt}-{number}`: Redis refuses one that is not newer, so the
order of a job's events is the order of its record's changes.
"""

_TOP = """
local status = redis.call('HGET', KEYS[1], 'status')
if status ~= 'queued' and status ~= 'running' then return 0 end
local function progress()
  local got = redis.call('HMGET', KEYS[1], 'succeeded', 'failed', 'total')
  local failed = tonumber(got[2] or 0)
  return tonumber(got[1] or 0) + failed, failed, tonumber(got[3])
end
local function emit(kind)
  local number = redis.call('HINCRBY', KEYS[1], 'events', 1)
  local got = redis.call('HMGET', KEYS[1], 'id', 'status', 'attempt')
  local done, failed, total = progress()
  local data = string.format('{"id":"%s","status":"%s","attempt":%d,'
    .. '"progress":{"done":%d,"failed":%d,"total":%d}}',
    got[1], got[2], tonumber(got[3]), done, failed, total)
  redis.call('XADD', KEYS[2], got[3] .. '-' .. number, 'event', kind, 'data', data)
end
"""
QUEUE = (
    _TOP
    + """
-- ARGV: seconds to keep.
emit('job.queued')
redis.call('EXPIRE', KEYS[2], ARGV[1])
return 1
"""
)
BEGIN = (
    _TOP
    + """
-- ARGV: now, attempts allowed. Answers the attempt's number; -1: there were too many.
if tonumber(redis.call('HGET', KEYS[1], 'stalled') or 0) >= tonumber(ARGV[2]) then
  return -1
end
redis.call('HINCRBY', KEYS[1], 'stalled', 1)
local attempt = redis.call('HINCRBY', KEYS[1], 'attempt', 1)
redis.call('HSET', KEYS[1], 'status', 'running')
redis.call('HSETNX', KEYS[1], 'started_at', ARGV[1])
redis.call('ZADD', KEYS[3], 'XX', ARGV[1], redis.call('HGET', KEYS[1], 'id'))
emit('job.running')
return attempt
"""
)
SAVE = (
    _TOP
    + """
-- KEYS[4]: items. ARGV: attempt, index, outcome, counter, cost, seconds to keep, and
-- how many bytes all outcomes may have. Answers 1 (kept), 0 (a newer attempt has begun)
-- or -1 (no room). An outcome without room was paid for, so its cost counts.
if redis.call('HGET', KEYS[1], 'attempt') ~= ARGV[1] then return 0 end
if redis.call('HEXISTS', KEYS[4], ARGV[2]) == 1 then return 1 end
redis.call('HINCRBY', KEYS[1], ARGV[5] == '' and 'unpriced' or 'cost_nano',
  ARGV[5] == '' and 1 or ARGV[5])
local bytes = tonumber(redis.call('HGET', KEYS[1], 'bytes') or 0) + #ARGV[3]
if bytes > tonumber(ARGV[7]) then return -1 end
redis.call('HSET', KEYS[1], 'bytes', bytes)
redis.call('HSET', KEYS[4], ARGV[2], ARGV[3])
redis.call('EXPIRE', KEYS[4], ARGV[6])
redis.call('HINCRBY', KEYS[1], ARGV[4], 1)
redis.call('HSET', KEYS[1], 'stalled', 0)
local done, failed, total = progress()
if done == total or done % math.ceil(total / 1000) == 0 then emit('job.progress') end
return 1
"""
)
# One page of outcomes, beside the record as it is at the same moment.
# KEYS: record, items. ARGV: the index after which it begins, bytes that it may have.
# Answers: the record, whether more follow, and the outcomes in order, of which there is
# at least one if any follows.
PAGE = """
local total = tonumber(redis.call('HGET', KEYS[1], 'total') or 0)
local left, page, more = tonumber(ARGV[2]), {}, 0
for index = ARGV[1] + 1, total - 1 do
  local size = redis.call('HSTRLEN', KEYS[2], index)
  if size > 0 then
    if #page > 0 and size > left then
      more = 1
      break
    end
    left = left - size - 1
    page[#page + 1] = redis.call('HGET', KEYS[2], index)
  end
end
return {redis.call('HGETALL', KEYS[1]), more, page}
"""
END = (
    _TOP
    + """
-- KEYS[4..5]: items, request. ARGV: attempt ('' for the API itself), status, now,
-- error code, error message, seconds to keep. A worker cannot know that all outcomes
-- are kept: a Redis that is killed may forget some it had acknowledged.
local _, _, total = progress()
if ARGV[2] == 'succeeded' and redis.call('HLEN', KEYS[4]) < total then return 0 end
if ARGV[1] ~= '' and redis.call('HGET', KEYS[1], 'attempt') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'status', ARGV[2], 'finished_at', ARGV[3],
  'error_code', ARGV[4], 'error', ARGV[5])
emit('job.' .. ARGV[2])
for _, key in ipairs({KEYS[1], KEYS[2], KEYS[4], KEYS[5]}) do
  redis.call('EXPIRE', key, ARGV[6])
end
return 1
"""
)
