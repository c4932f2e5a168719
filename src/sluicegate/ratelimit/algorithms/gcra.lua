-- Twin of gcra.py: the same names, the same order; whole numbers below 2^53, several values instead of a table.

-- Brings a time ahead of the capacity back: a stepped clock or a poisoned key blocks nobody for longer.
local function gcra_bounded(paid_us, paid_rem, debt_us, full_us, capacity_us, capacity_rem)
  local debt_max_us = capacity_us
  if capacity_rem > 0 then debt_max_us = debt_max_us + 1 end
  local bound_us = full_us + math.min(debt_us, debt_max_us)
  if paid_us > bound_us or (paid_us == bound_us and paid_rem > capacity_rem) then
    return bound_us, capacity_rem
  end
  return paid_us, paid_rem
end

-- Moves the time forward by what pays for `units`.
local function gcra_paid_further(paid_us, paid_rem, units, interval_us, interval_rem, per)
  local units_us, units_rem = exact_time_of(units, interval_us, interval_rem, per)
  paid_us = paid_us + units_us
  paid_rem = paid_rem + units_rem
  if paid_rem >= per then
    paid_us = paid_us + 1
    paid_rem = paid_rem - per
  end
  return paid_us, paid_rem
end

-- When `cost` more units are paid for within the capacity, rounded up to a microsecond.
local function gcra_retry_after_us(paid_us, paid_rem, cost, full_us, burst, interval_us, interval_rem, per, capacity_rem)
  if cost > burst then return -1 end
  local need_us, need_rem = exact_time_of(cost, interval_us, interval_rem, per)
  local wait_rem = paid_rem + need_rem - capacity_rem
  return paid_us + need_us - full_us + math.ceil(wait_rem / per)
end

local function gcra_decide(paid_us, paid_rem, debt_us, now_us, cost, count,
                           burst, interval_us, interval_rem, per, capacity_us, capacity_rem)
  local full_us = now_us + capacity_us
  if paid_us >= full_us then
    paid_us, paid_rem = gcra_bounded(paid_us, paid_rem, debt_us, full_us, capacity_us, capacity_rem)
  elseif paid_us < now_us then -- idle time is not saved up
    paid_us, paid_rem = now_us, 0
  end

  local free_us = full_us - paid_us
  local free_rem = capacity_rem - paid_rem
  if free_rem < 0 then
    free_us = free_us - 1
    free_rem = free_rem + per
  end
  local remaining
  if free_us < 0 then
    remaining = 0
  elseif interval_rem == 0 then
    remaining = math.floor(free_us / interval_us)
  else
    remaining = exact_units_within(free_us, free_rem, interval_us, interval_rem, per)
  end

  local granted = count
  if cost > 0 then
    if cost * count > remaining then granted = math.floor(remaining / cost) end
    local taken = granted * cost
    remaining = remaining - taken
    if interval_rem == 0 then
      paid_us = paid_us + taken * interval_us
    else
      paid_us, paid_rem = gcra_paid_further(paid_us, paid_rem, taken, interval_us, interval_rem, per)
    end
  elseif free_us < 0 then
    granted = 0
  end

  local retry_after_us = 0
  if granted < count then
    retry_after_us = gcra_retry_after_us(paid_us, paid_rem, cost, full_us,
                                         burst, interval_us, interval_rem, per, capacity_rem)
  end
  local reset_after_us = paid_us - now_us
  if paid_rem > 0 then reset_after_us = reset_after_us + 1 end
  debt_us = 0
  if free_us < 0 then debt_us = -free_us end
  return paid_us, paid_rem, debt_us, granted, remaining, retry_after_us, reset_after_us
end

local function gcra_refund(paid_us, paid_rem, debt_us, now_us, cost, decided_at_us, reset_at_us,
                           burst, interval_us, interval_rem, per, capacity_us, capacity_rem)
  paid_us, paid_rem = gcra_decide(paid_us, paid_rem, debt_us, now_us, 0, 0,
                                  burst, interval_us, interval_rem, per, capacity_us, capacity_rem)
  local back_us, back_rem = exact_time_of(cost, interval_us, interval_rem, per)
  if back_us >= reset_at_us - now_us then
    back_us, back_rem = math.max(0, reset_at_us - now_us), 0
  end
  if back_us > paid_us - now_us or (back_us == paid_us - now_us and back_rem > paid_rem) then
    back_us, back_rem = paid_us - now_us, paid_rem
  end
  local refunded = exact_units_within(back_us, back_rem, interval_us, interval_rem, per)
  local whole_us, whole_rem = exact_time_of(refunded, interval_us, interval_rem, per)
  if whole_us ~= back_us or whole_rem ~= back_rem then
    refunded = refunded + 1 -- part of a unit is told as one
  end
  paid_us = paid_us - back_us
  paid_rem = paid_rem - back_rem
  if paid_rem < 0 then
    paid_us = paid_us - 1
    paid_rem = paid_rem + per
  end
  local over_us = paid_us - now_us - capacity_us
  if paid_rem > capacity_rem then over_us = over_us + 1 end
  debt_us = math.max(0, over_us)
  local reset_after_us = paid_us - now_us
  if paid_rem > 0 then reset_after_us = reset_after_us + 1 end
  return paid_us, paid_rem, debt_us, refunded, reset_after_us
end
