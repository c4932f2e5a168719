-- Twin of window.py: the same names, the same order.

-- What counts in the current window; a window ahead of the clock counts as this one.
local function window_used(state_start_us, used, limit, start_us)
  if state_start_us < start_us then return 0 end
  if used > limit * 2 then return limit * 2 end
  return used
end

local function window_decide_in(state_start_us, used, now_us, cost, count, limit, start_us, end_us)
  used = window_used(state_start_us, used, limit, start_us)
  local remaining = 0
  if used < limit then remaining = limit - used end
  local granted = count
  if cost > 0 then
    if cost * count > remaining then granted = math.floor(remaining / cost) end
  elseif used > limit then
    granted = 0
  end
  used = used + granted * cost
  remaining = remaining - granted * cost

  local retry_after_us = 0
  if granted < count then
    if cost > limit then retry_after_us = -1 else retry_after_us = end_us - now_us end
  end
  local reset_after_us = 0
  if used > 0 then reset_after_us = end_us - now_us end
  return start_us, used, 0, granted, remaining, retry_after_us, reset_after_us
end

local function window_refund_in(state_start_us, used, now_us, cost, decided_at_us, limit, start_us, end_us)
  used = window_used(state_start_us, used, limit, start_us)
  local refunded = 0
  if start_us <= decided_at_us and decided_at_us < end_us then refunded = math.min(cost, used) end
  used = used - refunded
  local reset_after_us = 0
  if used > 0 then reset_after_us = end_us - now_us end
  return start_us, used, 0, refunded, reset_after_us
end
