-- Twin of concurrency.py: the same names, the same order.
local function concurrency_decide(holders, count, limit)
  local remaining = math.max(0, limit - holders)
  local granted = math.min(count, remaining)
  return granted, remaining - granted
end
