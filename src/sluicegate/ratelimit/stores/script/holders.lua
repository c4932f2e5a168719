-- The holders of concurrency: a sorted set, its score the expiry by the server's clock, its member the holder.

local function holders_count(key, now_us)
  return redis.pcall('ZCOUNT', key, '(' .. string.format('%.0f', now_us), '+inf')
end

local function holders_reset_after_us(key, now_us, hold_us)
  local last = redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')
  if not last[1] then return 0 end
  return math.min(math.max(0, tonumber(last[2]) - now_us), hold_us)
end

-- Forgets who expired; nobody holds longer than a full term, even after the clock stepped back.
local function holders_tidy(key, now_us, hold_us)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now_us)
  local until_us = now_us + hold_us
  local beyond = redis.call('ZRANGEBYSCORE', key, '(' .. string.format('%.0f', until_us), '+inf')
  for at = 1, #beyond do redis.call('ZADD', key, until_us, beyond[at]) end
end

local function holders_extend(key, now_us, hold_us, holder)
  redis.call('ZADD', key, now_us + hold_us, holder)
  redis.call('PEXPIRE', key, math.ceil(hold_us / 1000))
end

-- Returns granted, remaining; the same holder asking again keeps its unit and takes no second one.
local function holders_take(key, now_us, holder, limit, hold_us)
  local held = holders_count(key, now_us)
  if type(held) == 'table' then return WRONG_TYPE end
  holders_tidy(key, now_us, hold_us)
  if redis.call('ZSCORE', key, holder) then
    holders_extend(key, now_us, hold_us, holder)
    return 1, math.max(0, limit - held)
  end
  local granted, remaining = concurrency_decide(held, 1, limit)
  if granted > 0 then holders_extend(key, now_us, hold_us, holder) end
  return granted, remaining
end

local function holders_renew(key, now_us, holder, limit, hold_us)
  local held = holders_count(key, now_us)
  if type(held) == 'table' then return WRONG_TYPE end
  holders_tidy(key, now_us, hold_us)
  if not redis.call('ZSCORE', key, holder) then return 0, math.max(0, limit - held) end
  holders_extend(key, now_us, hold_us, holder)
  return 1, math.max(0, limit - held)
end

local function holders_release(key, now_us, holder, limit, hold_us)
  local held = holders_count(key, now_us)
  if type(held) == 'table' then return WRONG_TYPE end
  holders_tidy(key, now_us, hold_us)
  local released = redis.call('ZREM', key, holder)
  return released, math.max(0, limit - holders_count(key, now_us))
end
