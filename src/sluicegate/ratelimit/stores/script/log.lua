-- The log of sliding_window_log: a sorted set, its score the time, its member the units so far and its own.
-- Units in a window are then a difference of two entries, and an instant is found by rank.
--
-- A function around them all, for a call that meets no log makes none of them.
local function log_functions()
  local LOG_MEMBER_LENGTH = 11

  local function log_member(total, units)
    return struct.pack('>I7I4', total, units)
  end

  -- An entry's total and units; zeros for what this version cannot have written.
  local function log_entry(member)
    if #member == LOG_MEMBER_LENGTH then
      local total, units = struct.unpack('>I7I4', member)
      if units <= total and total < 9007199254740992 then return total, units end
    end
    return 0, 0
  end

  local function log_after(time_us)
    return '(' .. string_format(WHOLE, time_us)
  end

  -- A log with an entry that cannot be read counts as nothing, and is removed by the next write.
  local function log_forget(record)
    record.unreadable, record.stored, record.newest_us, record.before = true, 0, 0, {}
  end

  local function log_read(key)
    local record = { key = key, kind = LOG, stored = 0, newest_us = 0, pending = 0, before = {} }
    local last = redis_pcall('ZREVRANGE', key, 0, 0, 'WITHSCORES')
    if last.err then
      record.status = WRONG_TYPE
    elseif last[1] then
      record.stored = log_entry(last[1])
      record.newest_us = tonumber(last[2])
      if record.stored == 0 then log_forget(record) end
    end
    return record
  end

  local function log_longest_us(rule)
    local longest_us = 0
    for slot = 0, rule.slots - 1 do longest_us = math.max(longest_us, rule[slot * 2 + 2]) end
    return longest_us
  end

  -- The units that had been logged before the window began.
  local function log_before(record, now_us, period_us)
    local before = record.before[period_us]
    if not before then
      local first = redis_call('ZRANGEBYSCORE', record.key, log_after(now_us - period_us), '+inf', 'LIMIT', 0, 1)
      before = record.stored
      if first[1] then
        local total, units = log_entry(first[1])
        if total == 0 or total > record.stored then
          log_forget(record)
          return 0
        end
        before = total - units
      end
      record.before[period_us] = before
    end
    return before
  end

  -- The wait until `must_leave` units have left the window: the first entry that reaches them is found by rank.
  local function log_retry_after_us(record, now_us, period_us, must_leave)
    if must_leave <= 0 then return must_leave end
    local wanted = log_before(record, now_us, period_us) + must_leave
    if wanted > record.stored then return period_us end
    local entries = redis_call('ZCARD', record.key)
    local low = entries - redis_call('ZCOUNT', record.key, log_after(now_us - period_us), '+inf')
    local high = entries - 1
    while low < high do
      local middle = math.floor((low + high) / 2)
      local total = log_entry(redis_call('ZRANGE', record.key, middle, middle)[1])
      if total >= wanted then high = middle else low = middle + 1 end
    end
    local time_us = tonumber(redis_call('ZRANGE', record.key, low, low, 'WITHSCORES')[2])
    return math.min(time_us, now_us) + period_us - now_us
  end

  local function log_reset_after_us(record, now_us, period_us)
    if log_before(record, now_us, period_us) == record.stored + record.pending then return 0 end
    if record.pending > 0 then return period_us end
    return math.min(record.newest_us, now_us) + period_us - now_us
  end

  local function log_ask(record, now_us, cost, count, limit, period_us)
    local before = log_before(record, now_us, period_us)
    local used = record.stored + record.pending - before
    local granted, remaining, must_leave = sliding_window_log_decide(used, cost, count, limit)
    record.pending = record.pending + granted * cost -- as if taken, for the answers
    local retry_after_us = log_retry_after_us(record, now_us, period_us, must_leave)
    local reset_after_us = log_reset_after_us(record, now_us, period_us)
    record.pending = record.pending - granted * cost
    return granted, remaining, retry_after_us, reset_after_us
  end

  -- Logs units as admitted now, and has entries ahead of the clock brought back.
  local function log_adopt(record, rule, now_us, taken)
    record.pending = record.pending + taken
    if taken > 0 or record.newest_us > now_us then record.changed_by = rule end
  end

  -- One entry for all that this call admitted; entries ahead of the clock become one entry of now.
  local function log_write(record, now_us)
    local key, longest_us = record.key, log_longest_us(record.changed_by)
    local now = string_format(WHOLE, now_us)
    if record.unreadable then redis_call('DEL', key) end
    if record.newest_us > now_us then
      local first = redis_call('ZRANGEBYSCORE', key, log_after(now_us), '+inf', 'LIMIT', 0, 1)
      local total, units = log_entry(first[1])
      redis_call('ZREMRANGEBYSCORE', key, log_after(now_us), '+inf')
      redis_call('ZADD', key, now, log_member(record.stored, record.stored - total + units))
    end
    redis_call('ZREMRANGEBYSCORE', key, '-inf', string_format(WHOLE, now_us - longest_us))
    if record.pending > 0 then
      redis_call('ZADD', key, now, log_member(record.stored + record.pending, record.pending))
    end
    redis_call('PEXPIRE', key, string_format(WHOLE, math_ceil(longest_us / 1000)))
  end

  -- The most entries that a refund moves: half a millisecond, in which nobody else is answered.
  local SHIFT_MAX = 256

  -- Takes units out of one entry. The totals on its shorter side move, so that the others' units stay as they are.
  local function log_shift(key, rank, units, entries)
    local low, high, by = 0, rank - 1, units
    if entries - 1 - rank < rank then low, high, by = rank + 1, entries - 1, -units end
    local own = redis_call('ZRANGE', key, rank, rank, 'WITHSCORES')
    local moved = {}
    if low <= high then moved = redis_call('ZRANGE', key, low, high, 'WITHSCORES') end
    redis_call('ZREM', key, own[1])
    for at = 1, #moved, 2 do redis_call('ZREM', key, moved[at]) end
    for at = 1, #moved, 2 do
      local total, its_units = log_entry(moved[at])
      if total > 0 then redis_call('ZADD', key, moved[at + 1], log_member(total + by, its_units)) end
    end
    local total, its_units = log_entry(own[1])
    if its_units > units then
      redis_call('ZADD', key, own[2], log_member(total + math.min(by, 0), its_units - units))
    end
  end

  -- Gives back up to `cost` units of the entries of exactly one instant: all of them leave the window together.
  local function log_refund(key, rule, now_us, cost, decided_at_us)
    local longest_us = log_longest_us(rule)
    if decided_at_us <= now_us - longest_us then return 0 end
    local instant = string_format(WHOLE, decided_at_us)
    local refunded = 0
    while refunded < cost do
      local own = redis_call('ZRANGEBYSCORE', key, instant, instant, 'LIMIT', 0, 1)
      if not own[1] then break end
      local _, its_units = log_entry(own[1])
      local units = math.min(cost - refunded, its_units)
      local rank, entries = redis_call('ZRANK', key, own[1]), redis_call('ZCARD', key)
      if math.min(rank, entries - 1 - rank) > SHIFT_MAX then break end
      log_shift(key, rank, units, entries)
      refunded = refunded + units
    end
    local last = redis_call('ZREVRANGE', key, 0, 0, 'WITHSCORES')
    if last[1] then -- which a shift may have written anew
      local stays_us = math.min(tonumber(last[2]), now_us) + longest_us - now_us
      redis_call('PEXPIRE', key, math.max(1, math_ceil(stays_us / 1000)))
    end
    return refunded
  end

  return { read = log_read, ask = log_ask, adopt = log_adopt, write = log_write, refund = log_refund }
end
