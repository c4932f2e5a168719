-- Reads a request, whose format heads decide.lua, and decides what most requests ask. A call that asks no more ends
-- here, before any other function of the bundle is made: making them all takes longer than to decide.
--
-- Most requests acquire gcra of one rate in whole microseconds. Its state without debt is one number, the time until
-- which a key is paid. That is what its value says (plain, in state.lua) and all that a call keeps of it; no record is
-- made.
local ACQUIRE, PEEK, RESET, REFUND, TAKE, RENEW, IN_TURN = '0', '1', '2', '3', '4', '5', '7'
local GCRA, FIXED_WINDOW, SLIDING_WINDOW_COUNTER, CALENDAR, LOG, CONCURRENCY = 1, 2, 3, 4, 5, 6
local MARKS = 4 -- more than the ways of carrying a state over
local ENFORCED, BESIDE = '0', '2' -- and any other shadow
local READ_MAX = 512 -- keys in one read, far below what Lua can unpack

-- How a whole number below 2^53 is written. Left to redis.call, Redis 7.0 prints it with %.17g: exact too, but at twice
-- the cost. '%d' is as cheap as it gets where a C long holds such a number, which it does not on 32 bits.
local WHOLE = struct.size('l') == 8 and '%d' or '%.0f'

local KEYS, ARGV = KEYS, ARGV
local redis_call, redis_pcall = redis.call, redis.pcall
local string_find, string_format, math_ceil = string.find, string.format, math.ceil

local now_us = server_time_now_us()
local paid_us, records = {}, {} -- by key: what one number says, and all else
local reply, replied = { now_us, 0, nil, nil, nil, nil }, 2 -- with room for one answer
local rules, at, key_at = {}, 3, 1

-- The number that a value says in digits alone; an error, which is a table, says none.
local function plain_number(raw)
  local length = #raw
  if length > 0 and length <= 16 and string_find(raw, '^%d+$') then return raw + 0 end
end

local function plain_write(key, number, left_us)
  redis_call('PSETEX', key, string_format(WHOLE, math_ceil(left_us / 1000)), string_format(WHOLE, number))
end

-- What the keys from `first` to `last` say, read together; nothing, if one of them says more than a number does.
local function plain_numbers(first, last)
  local single = first == last
  local found = single and { redis_pcall('GET', KEYS[first]) } or redis_call('MGET', unpack(KEYS, first, last))
  for index = 1, last - first + 1 do
    local key, raw = KEYS[first - 1 + index], found[index]
    if records[key] then return nil end
    if not raw and not single then raw = redis_pcall('GET', key) end -- MGET tells a value of another type as none
    local number = 0
    if raw then number = plain_number(raw) end
    if not number then return nil end
    found[index] = number
  end
  return found
end

-- Decides the next run if it asks for that, and says whether it did.
local function plain_run()
  local rule, verb = rules[ARGV[at + 4] + 0], ARGV[at]
  if not rule.is_plain or ARGV[at + 3] ~= '1' or (verb ~= ACQUIRE and verb ~= IN_TURN) then return false end
  local last = key_at + ARGV[at + 1] - 1
  local before = last - key_at < READ_MAX and plain_numbers(key_at, last)
  if not before then return false end
  local count, cost = ARGV[at + 2] + 0, ARGV[at + 5] + 0
  local counts_at = count == 0 and at + 5 -- behind it stands the count of each
  local burst, interval_us, capacity_us = rule[1], rule[2], rule[5]
  for index = 1, last - key_at + 1 do
    local key = KEYS[key_at - 1 + index]
    local before_us = paid_us[key] or before[index]
    local turns, count = 1, counts_at and ARGV[counts_at + index] + 0 or count
    if verb == IN_TURN then turns, count = count, 1 end
    for _ = 1, turns do
      local after_us, _, _, granted, remaining, retry_after_us, reset_after_us =
        gcra_decide(before_us, 0, 0, now_us, cost, count, burst, interval_us, 0, 1, capacity_us, 0)
      if granted * cost > 0 or after_us < before_us then
        paid_us[key], before_us = after_us, after_us
      end
      reply[replied + 1], reply[replied + 2] = granted, remaining
      reply[replied + 3], reply[replied + 4] = retry_after_us, reset_after_us
      replied = replied + 4
    end
  end
  at = at + 6 + (counts_at and last - key_at + 1 or 0)
  key_at = last + 1
  return true
end

-- Reads what a rule was before: its tag, and its numbers.
local function rule_before_read(rule)
  local length = ARGV[at + 1] * (rule.kind == GCRA and 6 or 2)
  if length > 0 then
    local was = { tag = ARGV[at] + 0 }
    for index = 1, length do was[index] = ARGV[at + 1 + index] + 0 end
    rule.was = was
  end
  at = at + 2 + length
end

-- Arithmetic reads a text as a number at half the cost of tonumber, and a table with room is not made anew as it fills.
local function rules_read()
  for number = 1, ARGV[2] do
    local kind, slots, carry = ARGV[at] + 0, ARGV[at + 3] + 0, ARGV[at + 4] + 0
    local length = kind == GCRA and 6 or kind == CALENDAR and 5 or 2
    local rule = { nil, nil, nil, nil, nil, nil, kind = kind, shadow = ARGV[at + 1], tag = ARGV[at + 2] + 0,
                   slots = slots, length = length, is_plain = false, carry = carry % MARKS, marks = carry >= MARKS }
    at = at + 4
    for index = 1, slots * length do rule[index] = ARGV[at + index] + 0 end
    rule.is_plain = kind == GCRA and slots == 1 and rule[4] == 1 and carry < MARKS
    rules[number] = rule
    at = at + slots * length + 1
    if carry >= MARKS then rule_before_read(rule) end
  end
end

if ARGV[1] ~= '1' then return redis.error_reply('SGLAYOUT this script reads requests of layout 1') end
rules_read()
local arguments = #ARGV
while at <= arguments and plain_run() do end
if at > arguments then
  for key, until_us in pairs(paid_us) do plain_write(key, until_us, until_us - now_us) end
  return reply
end
