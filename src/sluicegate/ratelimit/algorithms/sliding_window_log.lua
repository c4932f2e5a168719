-- Twin of sliding_window_log.py: the same names, the same order.
local function sliding_window_log_decide(used, cost, count, limit)
  local remaining = math.max(0, limit - used)
  local granted = count
  if cost > 0 then
    granted = math.min(count, math.floor(remaining / cost))
  elseif used > limit then
    granted = 0
  end
  remaining = remaining - granted * cost

  local must_leave = 0
  if granted < count then
    if cost > limit then must_leave = -1 else must_leave = used + granted * cost + cost - limit end
  end
  return granted, remaining, must_leave
end
