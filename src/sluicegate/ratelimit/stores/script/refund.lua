-- Gives units back to a state, rate by rate. Made by the calls that need it, out of what decide.lua reads and keeps.
local function refund_functions(state_under, adopt)
  -- When one rate's part of a decision is paid off. The decision says when the last of its rates is: that is this one
  -- where no other can have stood so far ahead. Else only what the decision itself paid for is sure to lie ahead.
  local function own_reset_at_us(rule, slot, cost, decided_at_us, reset_at_us)
    for other = 0, rule.slots - 1 do
      if other ~= slot and decided_at_us + rule[other * 6 + 5] + 1 >= reset_at_us then
        local units_us, units_rem = exact_time_of(cost, rule[slot * 6 + 2], rule[slot * 6 + 3], rule[slot * 6 + 4])
        if units_rem > 0 then units_us = units_us + 1 end
        return math.min(reset_at_us, decided_at_us + units_us)
      end
    end
    return reset_at_us
  end

  -- Gives back in each rate what still counts there; the most of it is what was given back.
  local function refund_state(record, rule, cost, decided_at_us, reset_at_us)
    local refunded, reset_after_us = 0, 0
    for slot = 0, rule.slots - 1 do
      local at = slot * rule.length
      local first, second, third = state_under(record, rule, slot)
      local given, own_reset_us
      if rule.kind == GCRA then
        first, second, third, given, own_reset_us = gcra_refund(first, second, third, now_us, cost, decided_at_us,
          own_reset_at_us(rule, slot, cost, decided_at_us, reset_at_us),
          rule[at + 1], rule[at + 2], rule[at + 3], rule[at + 4], rule[at + 5], rule[at + 6])
      elseif rule.kind == FIXED_WINDOW then
        first, second, third, given, own_reset_us =
          fixed_window_refund(first, second, now_us, cost, decided_at_us, rule[at + 1], rule[at + 2])
      elseif rule.kind == SLIDING_WINDOW_COUNTER then
        first, second, third, given, own_reset_us =
          sliding_window_counter_refund(first, second, third, now_us, cost, decided_at_us, rule[at + 1], rule[at + 2])
      else
        first, second, third, given, own_reset_us = calendar_quota_refund(first, second, now_us, cost, decided_at_us,
          rule[at + 1], rule[at + 2], rule[at + 3], rule[at + 4], rule[at + 5])
      end
      adopt(record, rule, slot, 1, first, second, third, own_reset_us)
      refunded = math.max(refunded, given)
      reset_after_us = math.max(reset_after_us, own_reset_us)
    end
    return refunded, reset_after_us
  end

  return refund_state
end
