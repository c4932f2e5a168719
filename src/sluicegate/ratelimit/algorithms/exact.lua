-- Twin of exact.py: the same whole numbers, by digits where a product would pass 2^53.

-- a * b / m for b <= m < 2^45, as quotient and remainder. Digits of 7 bits keep r * 128 + d * b below 2^53.
local function exact_muldiv(a, b, m)
  local product = a * b
  if product < 9007199254740992 then
    local quotient = math.floor(product / m)
    return quotient, product - quotient * m
  end
  local place = 1
  while place * 128 <= a do place = place * 128 end
  local quotient, rem = 0, 0
  while place >= 1 do
    local digit = math.floor(a / place)
    a = a - digit * place
    place = place / 128
    local step = rem * 128 + digit * b
    local carry = math.floor(step / m)
    quotient = quotient * 128 + carry
    rem = step - carry * m
  end
  return quotient, rem
end

local function exact_time_of(units, interval_us, interval_rem, per)
  local carry_us, rem = exact_muldiv(units, interval_rem, per)
  return units * interval_us + carry_us, rem
end

-- The estimate in doubles is at most one off; the exact time of that many units decides.
local function exact_units_within(free_us, free_rem, interval_us, interval_rem, per)
  local units = math.floor((free_us + free_rem / per) / (interval_us + interval_rem / per)) + 1
  local time_us, rem = exact_time_of(units, interval_us, interval_rem, per)
  while time_us > free_us or (time_us == free_us and rem > free_rem) do
    units = units - 1
    time_us, rem = exact_time_of(units, interval_us, interval_rem, per)
  end
  return units
end

local function exact_share_of(whole, part, total)
  local quotient, rem = exact_muldiv(whole, part, total)
  if rem > 0 then return quotient + 1 end
  return quotient
end

local function exact_share_below(whole, part, total)
  local quotient = exact_muldiv(whole, part, total)
  return quotient
end
