-- The holders of concurrency: a sorted set, its score the expiry by the server's clock, its member the holder.
--
-- One member more says how far ahead of the clock the last of them stood when somebody last took or renewed: its score
-- is that time below zero, where no holder is. Who stands further ahead does so because the clock stepped back since,
-- and is brought back to there. So nobody stays for longer than the longest promise, and nobody's hold ends sooner,
-- whatever terms others ask for.
--
-- A function around them all, for a call that meets no holds makes none of them.
local function holders_functions()
  local HOLDERS_AHEAD = 'ahead' -- no holder is called so: they are random digits
  local UNKNOWN_US = -2
  local HOLD_US_MAX = 86400000000 -- a day, the longest term that a limit has

  local function holders_count(key, now_us)
    return redis_pcall('ZCOUNT', key, '(' .. string_format(WHOLE, now_us), '+inf')
  end

  -- How far ahead somebody may stand: a term, where nothing says it that this version has written.
  local function holders_ahead_us(key, hold_us)
    local score = redis_call('ZSCORE', key, HOLDERS_AHEAD)
    if score and tonumber(score) < 0 then return math.min(-tonumber(score), HOLD_US_MAX) end
    return hold_us
  end

  -- The time until the last holder will have expired.
  local function holders_reset_after_us(key, now_us, hold_us)
    local last = redis_call('ZREVRANGE', key, 0, 0, 'WITHSCORES')
    if not last[1] then return 0 end
    return math.min(math.max(0, tonumber(last[2]) - now_us), holders_ahead_us(key, hold_us))
  end

  -- The state stays for as long as its last holder.
  local function holders_keep(key, us)
    redis_call('PEXPIRE', key, math_ceil(us / 1000))
  end

  -- Forgets who expired, and brings back who stands further ahead than anybody was promised.
  local function holders_tidy(key, now_us, hold_us, held)
    if held == 0 then redis_call('DEL', key) else redis_call('ZREMRANGEBYSCORE', key, 0, now_us) end
    local ahead_us = holders_ahead_us(key, hold_us)
    local beyond = redis_call('ZRANGEBYSCORE', key, '(' .. string_format(WHOLE, now_us + ahead_us), '+inf')
    for at = 1, #beyond do redis_call('ZADD', key, now_us + ahead_us, beyond[at]) end
    if #beyond > 0 then holders_keep(key, ahead_us) end
  end

  local function holders_extend(key, now_us, hold_us, holder)
    local ahead_us = math.max(hold_us, holders_reset_after_us(key, now_us, hold_us))
    redis_call('ZADD', key, now_us + hold_us, holder, -ahead_us, HOLDERS_AHEAD)
    holders_keep(key, ahead_us)
  end

  -- Returns granted, remaining; the same holder asking again keeps its unit and takes no second one.
  local function holders_take(key, now_us, holder, limit, hold_us)
    local held = holders_count(key, now_us)
    if type(held) == 'table' then return WRONG_TYPE end
    holders_tidy(key, now_us, hold_us, held)
    if redis_call('ZSCORE', key, holder) then
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
    holders_tidy(key, now_us, hold_us, held)
    if not redis_call('ZSCORE', key, holder) then return 0, math.max(0, limit - held) end
    holders_extend(key, now_us, hold_us, holder)
    return 1, math.max(0, limit - held)
  end

  local function holders_release(key, now_us, holder, limit, hold_us)
    local held = holders_count(key, now_us)
    if type(held) == 'table' then return WRONG_TYPE end
    holders_tidy(key, now_us, hold_us, held)
    local released = redis_call('ZREM', key, holder)
    held = holders_count(key, now_us)
    if held > 0 then holders_keep(key, holders_reset_after_us(key, now_us, hold_us)) else redis_call('DEL', key) end
    return released, math.max(0, limit - held)
  end

  -- Returns granted (or a status), remaining, retry_after_us, reset_after_us.
  local function holders_hold(verb, key, now_us, holder, limit, hold_us)
    local granted, remaining
    local retry_after_us = 0
    if verb == TAKE then
      granted, remaining = holders_take(key, now_us, holder, limit, hold_us)
      if granted == 0 then retry_after_us = UNKNOWN_US end
    elseif verb == RENEW then
      granted, remaining = holders_renew(key, now_us, holder, limit, hold_us)
    else
      granted, remaining = holders_release(key, now_us, holder, limit, hold_us)
    end
    if granted < 0 then return granted, 0, 0, 0 end
    return granted, remaining, retry_after_us, holders_reset_after_us(key, now_us, hold_us)
  end

  -- The same, of what a take would be granted and what there is now.
  local function holders_peek(key, now_us, limit, hold_us)
    local held = holders_count(key, now_us)
    if type(held) == 'table' then return WRONG_TYPE, 0, 0, 0 end
    local granted = concurrency_decide(held, 1, limit)
    local _, remaining = concurrency_decide(held, 0, limit)
    return granted, remaining, (1 - granted) * UNKNOWN_US, holders_reset_after_us(key, now_us, hold_us)
  end

  return { hold = holders_hold, peek = holders_peek }
end
