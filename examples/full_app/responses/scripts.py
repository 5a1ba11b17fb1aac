"""The Lua of stored responses: each change of a record happens whole, or not at all.

A record is a hash: `owner`, `status`, `attempt`, `response`, `items` and, while it is
worked on, `request`, the chat request that answers it. The log of a response in the
background is a Redis Stream, whose ids are `{attempt}-{sequence number + 1}`. Redis
refuses an id that is not newer.
"""

_ROOM = """
-- KEYS: ids of a caller's responses by the time they expire; their sizes, and 'total'.
local used = tonumber(redis.call('HGET', KEYS[2], 'total') or 0)
local function forget(id)
  used = used - tonumber(redis.call('HGET', KEYS[2], id) or 0)
  redis.call('ZREM', KEYS[1], id)
  redis.call('HDEL', KEYS[2], id)
end
"""
KEEP = (
    _ROOM
    + """
-- Make room for one response, and note its size. ARGV: id, size in bytes, when it
-- expires, now, bytes that a caller may have. Answers {kept, id, id, ...}: 1 or 0, and
-- the ids that had to go. One that still runs expires never: it does not have to go.
-- Where those that run leave too little room, nothing goes: it would be in vain. One
-- that is noted already has ended, and is paid for: it is kept, however large it is.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[4])) do
  forget(id)
end
local is_new = redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0
forget(ARGV[1])
local size, room = tonumber(ARGV[2]), tonumber(ARGV[5])
if is_new and used + size > room then
  local running = 0
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '+inf', '+inf')) do
    running = running + tonumber(redis.call('HGET', KEYS[2], id))
  end
  if running + size > room then
    redis.call('HSET', KEYS[2], 'total', used)
    return {0}
  end
end
local answer = {1}
while used + size > room do
  local oldest =
    redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(+inf', 'LIMIT', 0, 1)[1]
  if not oldest then break end
  forget(oldest)
  table.insert(answer, oldest)
end
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], size)
redis.call('HSET', KEYS[2], 'total', used + size)
return answer
"""
)

FORGET = (
    _ROOM
    + """
-- Give back the room of one response. ARGV: its id.
forget(ARGV[1])
redis.call('HSET', KEYS[2], 'total', used)
return 1
"""
)

BEGIN = """
-- Begin an attempt. KEYS: record, ids that are worked on by their last sign of life.
-- ARGV: id, now, attempts allowed. Answers its number; 0: it has ended; -1: too many.
local status = redis.call('HGET', KEYS[1], 'status')
if status ~= 'queued' and status ~= 'in_progress' then return 0 end
local attempt = tonumber(redis.call('HGET', KEYS[1], 'attempt'))
if attempt >= tonumber(ARGV[3]) then return -1 end
redis.call('HSET', KEYS[1], 'status', 'in_progress', 'attempt', attempt + 1)
redis.call('ZADD', KEYS[2], 'XX', ARGV[2], ARGV[1])
return attempt + 1
"""

END = """
-- End a response in the background: its record and its last events, together.
-- KEYS: record, events. ARGV: attempt, id of the newest event, status, response, now,
-- seconds to keep the record, seconds to keep the events, then id, type and data of
-- each event. Answers 'done'; 'ended': it had ended before; 'moved': another attempt
-- has begun, or there are events that the caller of this script has not seen.
local record = redis.call('HMGET', KEYS[1], 'status', 'attempt')
if record[1] ~= 'queued' and record[1] ~= 'in_progress' then return 'ended' end
if record[2] ~= ARGV[1] then return 'moved' end
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
if (newest[1] and newest[1][1] or '') ~= ARGV[2] then return 'moved' end
for at = 8, #ARGV, 3 do
  redis.call('XADD', KEYS[2], ARGV[at], 'event', ARGV[at + 1], 'data', ARGV[at + 2])
end
redis.call('HSET', KEYS[1], 'status', ARGV[3], 'response', ARGV[4], 'ended_at', ARGV[5])
redis.call('HDEL', KEYS[1], 'request')
redis.call('EXPIRE', KEYS[1], ARGV[6])
redis.call('EXPIRE', KEYS[2], ARGV[7])
return 'done'
"""
