-- Twin of calendar_quota.py: the same names, the same order.
local function calendar_quota_covers(now_us, edge_0_us, edge_3_us)
  return edge_0_us <= now_us and now_us < edge_3_us
end

local function calendar_quota_window(now_us, edge_0_us, edge_1_us, edge_2_us, edge_3_us)
  if now_us < edge_1_us then return edge_0_us, edge_1_us end
  if now_us < edge_2_us then return edge_1_us, edge_2_us end
  return edge_2_us, edge_3_us
end

local function calendar_quota_decide(state_start_us, used, now_us, cost, count,
                                     limit, edge_0_us, edge_1_us, edge_2_us, edge_3_us)
  local start_us, end_us = calendar_quota_window(now_us, edge_0_us, edge_1_us, edge_2_us, edge_3_us)
  return window_decide_in(state_start_us, used, now_us, cost, count, limit, start_us, end_us)
end

local function calendar_quota_refund(state_start_us, used, now_us, cost, decided_at_us,
                                     limit, edge_0_us, edge_1_us, edge_2_us, edge_3_us)
  local start_us, end_us = calendar_quota_window(now_us, edge_0_us, edge_1_us, edge_2_us, edge_3_us)
  return window_refund_in(state_start_us, used, now_us, cost, decided_at_us, limit, start_us, end_us)
end
