-- Twin of carrying.py: the same names, the same order.
local KEEP, PROPORTIONAL, ADDITIVE, ANEW = 0, 1, 2, 3

local function carrying_units_of(way, remaining, old, new)
  if way == ANEW then return new end
  if way == KEEP then return math.min(remaining, new) end
  if way == PROPORTIONAL then return exact_share_below(new, remaining, old) end
  return math.max(0, remaining + new - old)
end

local function carrying_ratio(one, other)
  if one > other then return one / other end
  return other / one
end

-- The place, from 0, of the one of several rates that looks back for about as long; of two the first.
local function carrying_nearest(lengths_us, length_us)
  local best = 1
  for at = 2, #lengths_us do
    if carrying_ratio(lengths_us[at], length_us) < carrying_ratio(lengths_us[best], length_us) then best = at end
  end
  return best - 1
end

-- How much of the next unit is paid for, in whole microseconds.
local function carrying_part_us(ahead_us, ahead_rem, remaining, interval_us, interval_rem, per, capacity_us, capacity_rem)
  local free_us = capacity_us - ahead_us
  if ahead_rem > capacity_rem then free_us = free_us - 1 end
  local units_us, units_rem = exact_time_of(remaining, interval_us, interval_rem, per)
  if units_rem > 0 then units_us = units_us + 1 end
  return math.max(0, free_us - units_us)
end

local function carrying_gcra_carried(paid_us, paid_rem, debt_us, now_us, new_at_us, way,
                                     old_burst, old_interval_us, old_interval_rem, old_per,
                                     old_capacity_us, old_capacity_rem,
                                     burst, interval_us, interval_rem, per, capacity_us, capacity_rem)
  local remaining, reset_after_us, _
  paid_us, paid_rem, _, _, remaining, _, reset_after_us = gcra_decide(paid_us, paid_rem, debt_us, now_us, 0, 0,
    old_burst, old_interval_us, old_interval_rem, old_per, old_capacity_us, old_capacity_rem)
  if new_at_us == 0 then new_at_us = now_us + reset_after_us end
  if now_us >= new_at_us then return now_us, 0, 0, now_us end
  local units = carrying_units_of(way, remaining, old_burst, burst)
  local free_us, free_rem = exact_time_of(units, interval_us, interval_rem, per)
  if units < burst and (way == KEEP or (way == ADDITIVE and remaining + burst >= old_burst)) then
    local part_us = carrying_part_us(paid_us - now_us, paid_rem, remaining,
      old_interval_us, old_interval_rem, old_per, old_capacity_us, old_capacity_rem)
    free_us = free_us + exact_share_below(interval_us, part_us, old_interval_us + 1)
  end
  local ahead_us, ahead_rem = capacity_us - free_us, capacity_rem - free_rem
  if ahead_rem < 0 then
    ahead_us = ahead_us - 1
    ahead_rem = ahead_rem + per
  end
  return now_us + ahead_us, ahead_rem, 0, new_at_us
end

local function carrying_window_carried(used, now_us, new_at_us, way, old_limit, old_end_us, limit, start_us)
  if old_end_us > now_us then used = math.min(used, old_limit) else used = 0 end
  if new_at_us == 0 and used > 0 then new_at_us = old_end_us end
  if now_us >= new_at_us then return start_us, 0, 0, now_us end
  return start_us, limit - carrying_units_of(way, old_limit - used, old_limit, limit), 0, new_at_us
end

local function carrying_fixed_window_carried(state_start_us, used, now_us, new_at_us, way,
                                             old_limit, old_period_us, limit, period_us)
  local start_us = now_us - now_us % period_us
  local old_end_us = state_start_us + old_period_us
  return carrying_window_carried(used, now_us, new_at_us, way, old_limit, old_end_us, limit, start_us)
end

local function carrying_calendar_quota_carried(state_start_us, used, now_us, new_at_us, way, old_limit,
                                               limit, edge_0_us, edge_1_us, edge_2_us, edge_3_us)
  local start_us, end_us = calendar_quota_window(now_us, edge_0_us, edge_1_us, edge_2_us, edge_3_us)
  local old_end_us = state_start_us >= start_us and end_us or now_us
  return carrying_window_carried(used, now_us, new_at_us, way, old_limit, old_end_us, limit, start_us)
end

local function carrying_sliding_carried(state_start_us, previous, current, now_us, new_at_us, way,
                                        old_limit, old_period_us, limit, period_us)
  local _, remaining, reset_after_us
  _, previous, _, _, remaining, _, reset_after_us =
    sliding_window_counter_decide(state_start_us, previous, current, now_us, 0, 0, old_limit, old_period_us)
  local start_us = now_us - now_us % period_us
  if new_at_us == 0 then new_at_us = now_us + reset_after_us end
  if now_us >= new_at_us then return start_us, 0, 0, now_us end
  local used = limit - carrying_units_of(way, remaining, old_limit, limit)
  if period_us ~= old_period_us then return start_us, 0, used, new_at_us end
  local left_us = start_us + period_us - now_us
  previous = math.min(previous, limit * 2)
  local weight = exact_share_of(previous, left_us, period_us)
  if weight > used then
    previous = exact_share_below(previous, used, weight)
    weight = exact_share_of(previous, left_us, period_us)
  end
  return start_us, previous, used - weight, new_at_us
end
