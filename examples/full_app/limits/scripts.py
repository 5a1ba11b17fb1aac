"""Redis scripts that admit a call: limits and slots, taken together or not at all."""

from examples.full_app.limits.pipelining import Script
from examples.full_app.limits.slots import SLOTS

# A function, so that the ledger can have both decisions in one round trip.
GCRA = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
-- keys: one a budget. args: force, then for each budget: limit, window ms, cost.
-- Answers: admitted (1, 0, or -1 for never), and what to call with whether to take:
-- it answers for each budget: left, wait, reset.
local function gcra(keys, args)
  local force, verdict, plans = args[1] == '1', 1, {}
  for i, key in ipairs(keys) do
    local limit, window = tonumber(args[3 * i - 1]), tonumber(args[3 * i]) * 1000
    local cost = tonumber(args[3 * i + 1])
    local full_at = math.max(tonumber(redis.call('GET', key)) or now, now)
    local after = full_at + cost * window / limit
    local over = after - now - window
    if not force and cost > limit then verdict = -1
    elseif not force and over > 0 and verdict == 1 then verdict = 0 end
    plans[i] = {limit, window, full_at, after, over}
  end
  return verdict, function(take)
    local reply = {}
    for i, key in ipairs(keys) do
      local limit, window, full_at, after, over = unpack(plans[i])
      if take then
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
# The limits, then the slots. keys: two budgets, then the pools. args: what `gcra`
# takes for two budgets, then what `slots` takes. Answers as `gcra` does; less than -1:
# the pool that is full.
ADMIT = f"""{GCRA}{SLOTS}
local function apart(keys, args)
  return {{keys[1], keys[2]}}, {{unpack(keys, 3)}}, {{unpack(args, 8)}}
end
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
local function leave(keys, args)
  local budgets, pools, slot = apart(keys, args)
  for _, key in ipairs(pools) do redis.call('ZREM', key, slot[1]) end
  local _, finish = gcra(budgets, args)
  finish(true)
end
"""
DECIDE = Script(f"""{ADMIT}
local verdict, finish = admit(KEYS, ARGV)
return {{verdict, unpack(finish(verdict == 1))}}
""")
LEAVE = Script(f"{ADMIT} leave(KEYS, ARGV)")
# For who left before the answer came: only with a slot was anything taken.
UNDO = Script(f"""{ADMIT}
local _, pools, slot = apart(KEYS, ARGV)
if pools[1] and redis.call('ZSCORE', pools[1], slot[1]) then leave(KEYS, ARGV) end
""")
