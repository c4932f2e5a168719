-- Twin of fixed_window.py: the same names, the same order.
local function fixed_window_decide(state_start_us, used, now_us, cost, count, limit, period_us)
  local start_us = now_us - now_us % period_us
  return window_decide_in(state_start_us, used, now_us, cost, count, limit, start_us, start_us + period_us)
end

local function fixed_window_refund(state_start_us, used, now_us, cost, decided_at_us, limit, period_us)
  local start_us = now_us - now_us % period_us
  return window_refund_in(state_start_us, used, now_us, cost, decided_at_us, limit, start_us, start_us + period_us)
end
