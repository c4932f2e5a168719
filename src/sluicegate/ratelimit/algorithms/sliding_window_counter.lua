-- Twin of sliding_window_counter.py: the same names, the same order.

-- Brings the two counts to the current window; one ahead of the clock counts as the current.
local function sliding_window_counter_rolled(state_start_us, previous, current, now_us, limit, period_us)
  local start_us = now_us - now_us % period_us
  if state_start_us < start_us then
    if state_start_us >= start_us - period_us then previous = current else previous = 0 end
    current = 0
  end
  if previous > limit * 2 then previous = limit * 2 end
  if current > limit * 2 then current = limit * 2 end
  return start_us, previous, current
end

-- When the falling weight of the previous, or else of the current window makes room.
local function sliding_window_counter_retry_after_us(previous, current, cost, left_us, limit, period_us)
  if cost > limit then return -1 end
  local room = limit - current - cost
  if room >= 0 then -- the weight of the previous window is in the way
    return left_us - exact_share_below(period_us, room, previous)
  end
  -- Only the next window helps, in which this one is the previous.
  return left_us + period_us - exact_share_below(period_us, limit - cost, current)
end

local function sliding_window_counter_decide(state_start_us, previous, current, now_us, cost, count, limit, period_us)
  local start_us
  start_us, previous, current =
    sliding_window_counter_rolled(state_start_us, previous, current, now_us, limit, period_us)
  local left_us = start_us + period_us - now_us
  local weighted = exact_share_of(previous, left_us, period_us) + current
  local remaining = 0
  if weighted < limit then remaining = limit - weighted end
  local granted = count
  if cost > 0 then
    if cost * count > remaining then granted = math.floor(remaining / cost) end
  elseif weighted > limit then
    granted = 0
  end
  current = current + granted * cost
  remaining = remaining - granted * cost

  local retry_after_us = 0
  if granted < count then
    retry_after_us = sliding_window_counter_retry_after_us(previous, current, cost, left_us, limit, period_us)
  end
  local reset_after_us = 0
  if current > 0 then
    reset_after_us = left_us + period_us
  elseif previous > 0 then
    reset_after_us = left_us
  end
  return start_us, previous, current, granted, remaining, retry_after_us, reset_after_us
end

local function sliding_window_counter_refund(state_start_us, previous, current, now_us, cost, decided_at_us,
                                             limit, period_us)
  local start_us
  start_us, previous, current =
    sliding_window_counter_rolled(state_start_us, previous, current, now_us, limit, period_us)
  local refunded = 0
  if start_us <= decided_at_us and decided_at_us < start_us + period_us then
    refunded = math.min(cost, current)
    current = current - refunded
  elseif start_us - period_us <= decided_at_us and decided_at_us < start_us then
    refunded = math.min(cost, previous)
    previous = previous - refunded
  end
  local left_us = start_us + period_us - now_us
  local reset_after_us = 0
  if current > 0 then
    reset_after_us = left_us + period_us
  elseif previous > 0 then
    reset_after_us = left_us
  end
  return start_us, previous, current, refunded, reset_after_us
end
