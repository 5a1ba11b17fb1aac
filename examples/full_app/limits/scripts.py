"""Redis scripts: limits, slots and money of a call, taken together or not at all."""

from examples.full_app.limits.pipelining import Script
from examples.full_app.limits.slots import SLOTS

# The time on Redis' clock, in microseconds and in milliseconds.
CLOCK = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local now_ms = math.floor(now / 1000)
"""
# A function, so that the ledger can have both decisions in one round trip.
GCRA = """
-- keys: one a budget. args: force, then for each budget: limit, window ms, cost.
-- Answers: admitted (1, 0, or -1 for never), and what to call with whether to take:
-- it answers for each budget: left, wait, reset.
local function gcra(keys, args)
  local force, verdict, plans = args[1] == '1', 1, {}
  local saved = redis.call('MGET', unpack(keys))
  for i in ipairs(keys) do
    local limit, window = tonumber(args[3 * i - 1]), tonumber(args[3 * i]) * 1000
    local cost = tonumber(args[3 * i + 1])
    local full_at = math.max(tonumber(saved[i]) or now, now)
    local after = full_at + cost * window / limit
    local over = after - now - window
    if not force and cost > limit then verdict = -1
    elseif not force and over > 0 and verdict == 1 then verdict = 0 end
    plans[i] = {limit, window, cost, full_at, after, over}
  end
  return verdict, function(take)
    local reply = {}
    for i, key in ipairs(keys) do
      local limit, window, cost, full_at, after, over = unpack(plans[i])
      if take and cost ~= 0 then
        full_at = math.max(after, now)
        if full_at > now then
          local ttl = math.ceil((full_at - now) / 1000)
          redis.call('SET', key, string.format('%.0f', full_at), 'PX', ttl)
        else redis.call('DEL', key) end
      end
      local left = math.floor(limit - (full_at - now) * limit / window)
      reply[3 * i - 2] = math.max(0, left)
      reply[3 * i - 1] = verdict == 0 and math.max(0, math.ceil(over / 1000)) or 0
      reply[3 * i] = math.ceil((full_at - now) / 1000)
    end
    return reply
  end
end
"""
# keys: two budgets, then the pools. args: what `gcra` takes for two budgets, then what
# `slots` takes.
LIMITS = f"""{CLOCK}{GCRA}
local function apart(keys, args)
  return {{keys[1], keys[2]}}, {{unpack(keys, 3)}}, {{unpack(args, 8)}}
end
"""
# The limits, then the slots. Answers as `gcra` does; less than -1: the pool that is
# full.
ADMIT = f"""{LIMITS}{SLOTS}
local function admit(keys, args)
  local budgets, pools, slot = apart(keys, args)
  local verdict, finish = gcra(budgets, args)
  local full, occupy = slots(pools, slot)
  if verdict == 1 and full > 0 then verdict = -1 - full end
  return verdict, function(take)
    if take then occupy() end
    return finish(take)
  end
end
"""
# The end of a call: its slot is free, and its costs, which may be negative, are taken.
LEAVE_LIMITS = f"""{LIMITS}
local function leave(keys, args)
  local budgets, pools, slot = apart(keys, args)
  for _, key in ipairs(pools) do redis.call('ZREM', key, slot[1]) end
  local _, finish = gcra(budgets, args)
  finish(true)
end
"""
# A call that has its slot was admitted before, by a try whose answer was lost.
DECIDE = Script(f"""{ADMIT}
local _, pools, slot = apart(KEYS, ARGV)
local again = pools[1] and redis.call('ZSCORE', pools[1], slot[1])
local verdict, finish = admit(KEYS, ARGV)
if again then return {{1, unpack(finish(false))}} end
return {{verdict, unpack(finish(verdict == 1))}}
""")
LEAVE = Script(f"{LEAVE_LIMITS} leave(KEYS, ARGV)")
# For a call whose answer did not arrive: only with a slot was anything taken.
UNDO = Script(f"""{LEAVE_LIMITS}
local _, pools, slot = apart(KEYS, ARGV)
if pools[1] and redis.call('ZSCORE', pools[1], slot[1]) then leave(KEYS, ARGV) end
""")

# --- Money: each step happens whole, or not at all ---

# KEYS[1], a hash: `spent`, `reserved`, and the amount of each hold under its id.
# KEYS[2], a sorted set: when each hold lapses. A lapsed hold reserves nothing, and is
# remembered for a day: its call may only have been slow, and pays when it ends.
ACCOUNT = """
local function whole(number) return string.format('%.0f', number) end
local function add(field, amount)
  redis.call('HINCRBY', KEYS[1], field, whole(amount))
end
local function forget(id)
  redis.call('HDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
end
"""
# Answers `spent` and `reserved` without what has lapsed, then further fields.
STANDING_ACCOUNT = f"""{ACCOUNT}
local function keep(id, amount, ms)
  redis.call('HSET', KEYS[1], id, amount)
  redis.call('ZADD', KEYS[2], whole(now_ms + ms), id)
end
local function standing(...)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', whole(now_ms))) do
    local amount = redis.call('HGET', KEYS[1], id)
    if amount == 'lapsed' then forget(id)
    else
      add('reserved', 0 - amount)
      keep(id, 'lapsed', 24 * 60 * 60 * 1000)
    end
  end
  local sums = redis.call('HMGET', KEYS[1], 'spent', 'reserved', ...)
  return sums[1] or '0', sums[2] or '0', unpack(sums, 3)
end
"""

# ARGV: id, amount, budget, ms until it lapses, seconds for which the account is kept
# (0: for ever), then the limiter's. Answers: enough money (1 or 0), spent and reserved
# as they were, then what the limiter's answers.
RESERVE = Script(f"""{ADMIT}{STANDING_ACCOUNT}
local spent, reserved, again = standing(ARGV[1])
local enough = again or tonumber(ARGV[2]) <= ARGV[3] - spent - reserved
local verdict, finish = admit({{unpack(KEYS, 3)}}, {{unpack(ARGV, 6)}})
if again then verdict = 1 end
local take = enough and verdict == 1 and not again
if take then
  keep(ARGV[1], ARGV[2], ARGV[4])
  add('reserved', ARGV[2])
  if tonumber(ARGV[5]) > 0 then
    for _, key in ipairs({{KEYS[1], KEYS[2]}}) do redis.call('EXPIRE', key, ARGV[5]) end
  end
end
return {{enough and 1 or 0, spent, reserved, verdict, unpack(finish(take))}}
""")

# ARGV: id, cost, then the limiter's. A hold that is not there was settled before, by a
# try whose answer was lost, or it was never taken: either way nothing is to be done.
SETTLE = Script(f"""{LEAVE_LIMITS}{ACCOUNT}
local amount = redis.call('HGET', KEYS[1], ARGV[1])
if not amount then return 0 end
if amount ~= 'lapsed' then add('reserved', 0 - amount) end
add('spent', ARGV[2])
forget(ARGV[1])
leave({{unpack(KEYS, 3)}}, {{unpack(ARGV, 3)}})
return 1
""")
STANDING = Script(f"{CLOCK}{STANDING_ACCOUNT} return {{standing()}}")

# --- What was used, for each model ---

# KEYS[1], a hash: counts under `<name of the count>|<model>`. ARGV: how many models may
# have counts, seconds for which they are kept (0: for ever), then for each model its
# name and five counts. A further model is counted under "other".
COUNT = Script("""
local names = {'requests', 'prompt_tokens', 'cached_tokens', 'completion_tokens',
  'spent'}
for i = 3, #ARGV, #names + 1 do
  local model = ARGV[i]
  local full = redis.call('HLEN', KEYS[1]) >= ARGV[1] * #names
  if full and redis.call('HEXISTS', KEYS[1], 'requests|' .. model) == 0 then
    model = 'other'
  end
  for j, name in ipairs(names) do
    redis.call('HINCRBY', KEYS[1], name .. '|' .. model, ARGV[i + j])
  end
end
if tonumber(ARGV[2]) > 0 then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
return 1
""")
COUNTS = Script("return redis.call('HGETALL', KEYS[1])")
