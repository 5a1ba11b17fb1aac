"""The ledger's three steps as Redis scripts: each happens whole, or not at all."""

from examples.full_app.limits.pipelining import Script
from examples.full_app.limits.scripts import ADMIT

# KEYS[1], a hash: `spent`, `reserved`, and the amount of each hold under its id.
# KEYS[2], a sorted set: when each hold lapses. A lapsed hold reserves nothing, and is
# remembered for a day: its call may only have been slow, and pays when it ends.
ACCOUNT = """
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local function whole(number) return string.format('%.0f', number) end
local function add(field, amount)
  redis.call('HINCRBY', KEYS[1], field, whole(amount))
end
local function keep(id, amount, ms)
  redis.call('HSET', KEYS[1], id, amount)
  redis.call('ZADD', KEYS[2], whole(now_ms + ms), id)
end
local function forget(id)
  redis.call('HDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
end
local function standing()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', whole(now_ms))) do
    local amount = redis.call('HGET', KEYS[1], id)
    if amount == 'lapsed' then forget(id)
    else
      add('reserved', 0 - amount)
      keep(id, 'lapsed', 24 * 60 * 60 * 1000)
    end
  end
  local sums = redis.call('HMGET', KEYS[1], 'spent', 'reserved')
  return sums[1] or '0', sums[2] or '0'
end
"""

# ARGV: id, amount, budget, ms until it lapses, then the limiter's. Answers: enough
# money (1 or 0), spent and reserved as they were, then what the limiter's answers.
RESERVE = Script(f"""{ADMIT}{ACCOUNT}
local spent, reserved = standing()
local again = redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1
local enough = again or tonumber(ARGV[2]) <= ARGV[3] - spent - reserved
local verdict, finish = admit({{unpack(KEYS, 3)}}, {{unpack(ARGV, 5)}})
if again then verdict = 1 end
local take = enough and verdict == 1 and not again
if take then
  keep(ARGV[1], ARGV[2], ARGV[4])
  add('reserved', ARGV[2])
end
return {{enough and 1 or 0, spent, reserved, verdict, unpack(finish(take))}}
""")

# ARGV: id, cost, then the limiter's. A hold that is not there was settled before, by a
# try whose answer was lost, or it was never taken: either way nothing is to be done.
SETTLE = Script(f"""{ADMIT}{ACCOUNT}
local amount = redis.call('HGET', KEYS[1], ARGV[1])
if not amount then return 0 end
if amount ~= 'lapsed' then add('reserved', 0 - amount) end
add('spent', ARGV[2])
forget(ARGV[1])
leave({{unpack(KEYS, 3)}}, {{unpack(ARGV, 3)}})
return 1
""")
STANDING = Script(f"{ACCOUNT} return {{standing()}}")
