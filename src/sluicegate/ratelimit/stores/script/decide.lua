-- Decides a batch atomically on the server's clock: the only file of the bundle that knows requests.
--
-- KEYS  the keys of the entries, in the order of the runs: one for each member of an entry
--       (for a reset its state, then what remembers the reset; for a refund both of these, then its companion)
-- ARGV  layout, number of rules, the rules, then runs until the end
--       rule  kind, shadow, tag, slots, then for each slot its numbers
--       run   verb, entries, count, members, then for each member rule and cost, then what the verb needs:
--             refund decided_at_us, reset_at_us; take, renew, release: the holder
-- reply now_us, values that could not be read, then for each member of each entry
--       granted (or a negative status), remaining, retry_after_us, reset_after_us
--
-- One table keeps what each key holds; every entry reads and changes it, and each changed key is written once,
-- at the end. (Refunds of logs and holds write at once: they have their own identity.)
local ACQUIRE, PEEK, RESET, REFUND, TAKE, RENEW, RELEASE = 0, 1, 2, 3, 4, 5, 6
local UNKNOWN_US = -2
local RULE_LENGTHS = { 6, 2, 2, 5, 2, 2 }

local now_us = server_time_now_us()
local records, touched, companions = {}, {}, {}
local unreadable = 0
local reply = { now_us, 0 }
local replied = 2

local function answer(granted, remaining, retry_after_us, reset_after_us)
  reply[replied + 1], reply[replied + 2] = granted, remaining
  reply[replied + 3], reply[replied + 4] = retry_after_us, reset_after_us
  replied = replied + 4
end

local function write(record)
  if record.unreadable then unreadable = unreadable + 1 end
  if record.dirty then
    if record.kind == LOG then log_write(record, now_us) else state_write(record) end
  end
  record.dirty, record.unreadable = false, false
end

local function loaded(key, rule)
  local record = records[key]
  if record and record.dirty and record.rule ~= rule then
    write(record) -- another rule of the same name reads what this one would leave
    record = nil
  end
  if not record then
    if rule.kind == LOG then record = log_read(key) else record = state_read(key, rule.kind) end
    records[key] = record
    touched[#touched + 1] = key
  end
  return record
end

local function status_of(record, rule)
  if record.status then return record.status end
  if rule.kind == CALENDAR then
    for slot = 0, rule.slots - 1 do
      if not calendar_quota_covers(now_us, rule[slot * 5 + 2], rule[slot * 5 + 5]) then return OUT_OF_RANGE end
    end
  end
end

-- Asks one rate of a limit. Returns the state after it, granted, remaining, retry_after_us, reset_after_us.
local function ask(record, rule, slot, cost, count)
  local kind, at = rule.kind, slot * RULE_LENGTHS[rule.kind]
  if kind == LOG then return 0, 0, 0, log_ask(record, now_us, cost, count, rule[at + 1], rule[at + 2]) end
  local first, second, third = state_under(record, rule, slot)
  if kind == GCRA then
    return gcra_decide(first, second, third, now_us, cost, count,
                       rule[at + 1], rule[at + 2], rule[at + 3], rule[at + 4], rule[at + 5], rule[at + 6])
  elseif kind == FIXED_WINDOW then
    return fixed_window_decide(first, second, now_us, cost, count, rule[at + 1], rule[at + 2])
  elseif kind == SLIDING_WINDOW_COUNTER then
    return sliding_window_counter_decide(first, second, third, now_us, cost, count, rule[at + 1], rule[at + 2])
  end
  return calendar_quota_decide(first, second, now_us, cost, count,
                               rule[at + 1], rule[at + 2], rule[at + 3], rule[at + 4], rule[at + 5])
end

local function is_less(record, rule, slot, first, second, third)
  local old_first, old_second, old_third = state_under(record, rule, slot)
  if first ~= old_first then return first < old_first end
  if second ~= old_second then return second < old_second end
  return third < old_third
end

-- Keeps a rate's new state when units were taken, or when it was ahead of the clock and had to be brought back.
local function adopt(record, rule, slot, taken, first, second, third, reset_after_us)
  local base = slot * STRIDE
  if taken > 0 or is_less(record, rule, slot, first, second, third) then
    record[base + 1], record[base + 2], record[base + 3] = first, second, third
    if rule.kind == GCRA then record[base + 4] = rule[slot * 6 + 4] end
    record.rule, record.dirty = rule, true
  end
  record[base + 5] = reset_after_us
end

-- The common case: one limit of one rate.
local function acquire_one(key, rule, cost, count)
  local record = loaded(key, rule)
  local status = status_of(record, rule)
  if status then return answer(status, 0, 0, 0) end
  local first, second, third, granted, remaining, retry_after_us, reset_after_us = ask(record, rule, 0, cost, count)
  if rule.kind == LOG then
    log_adopt(record, rule, now_us, granted * cost)
  else
    adopt(record, rule, 0, granted * cost, first, second, third, reset_after_us)
  end
  return answer(granted, remaining, retry_after_us, reset_after_us)
end

-- Asks each rate of a member; the asks of all members come before the first change.
local function asked(record, rule, cost, count)
  local answers, granted = {}, count
  for slot = 0, rule.slots - 1 do
    local own = { ask(record, rule, slot, cost, count) }
    answers[slot] = own
    granted = math.min(granted, own[4])
  end
  return answers, granted
end

-- Answers for all rates of a limit: the least that remains, the longest wait (never before any), the longest reset.
local function answer_for(granted, answers)
  local own = answers[0]
  local remaining, retry_after_us, reset_after_us = own[5], own[6], own[7]
  for slot = 1, #answers do
    own = answers[slot]
    remaining, reset_after_us = math.min(remaining, own[5]), math.max(reset_after_us, own[7])
    if retry_after_us == -1 or own[6] == -1 then
      retry_after_us = -1
    else
      retry_after_us = math.max(retry_after_us, own[6])
    end
  end
  answer(granted, remaining, retry_after_us, reset_after_us)
end

-- Takes `wanted` of a member's requests in each of its rates, and answers for all of them.
local function settle(record, rule, cost, answers, granted, wanted)
  for slot = 0, rule.slots - 1 do
    if answers[slot][4] ~= wanted then
      answers[slot] = { ask(record, rule, slot, cost, wanted) } -- all of them, so that its wait is 0
    end
    local own = answers[slot]
    if rule.kind ~= LOG then adopt(record, rule, slot, wanted * cost, own[1], own[2], own[3], own[7]) end
  end
  if rule.kind == LOG then log_adopt(record, rule, now_us, wanted * cost) end
  answer_for(granted, answers)
end

-- Several limits, all or nothing: ask all, grant the least, take that from all. Shadow members never bind.
local function acquire_all(keys_at, members, count)
  local member_records, failed = {}, false
  for index = 1, #members do
    local record = loaded(KEYS[keys_at + index], members[index].rule)
    member_records[index] = record
    failed = failed or status_of(record, members[index].rule)
  end
  if failed then
    for index = 1, #members do
      answer(status_of(member_records[index], members[index].rule) or UNDECIDED, 0, 0, 0)
    end
    return
  end
  local answers, grants, least = {}, {}, count
  for index = 1, #members do
    local member = members[index]
    answers[index], grants[index] = asked(member_records[index], member.rule, member.cost, count)
    if not member.rule.shadow then least = math.min(least, grants[index]) end
  end
  for index = 1, #members do
    local member, wanted = members[index], least
    local granted = least
    if member.rule.shadow then
      granted = grants[index]
      wanted = math.min(least, granted)
    end
    settle(member_records[index], member.rule, member.cost, answers[index], granted, wanted)
  end
end

-- What an acquire would answer, and what is there now; nothing is changed.
local function peek(key, rule, cost)
  if rule.kind == CONCURRENCY then
    local held = holders_count(key, now_us)
    if type(held) == 'table' then return answer(WRONG_TYPE, 0, 0, 0) end
    local granted = concurrency_decide(held, 1, rule[1])
    local _, remaining = concurrency_decide(held, 0, rule[1])
    return answer(granted, remaining, (1 - granted) * UNKNOWN_US, holders_reset_after_us(key, now_us, rule[2]))
  end
  local record = loaded(key, rule)
  local status = status_of(record, rule)
  if status then return answer(status, 0, 0, 0) end
  local answers, granted = asked(record, rule, cost, 1)
  for slot = 0, rule.slots - 1 do
    local untouched = { ask(record, rule, slot, cost, 0) }
    answers[slot][5], answers[slot][7] = untouched[5], untouched[7]
  end
  return answer_for(granted, answers)
end

-- Forgets a state, and remembers until it would have been gone by itself that decisions of before are void.
local function reset(key, marker, rule)
  if records[key] then write(records[key]) end
  local left_ms = redis.call('PTTL', key)
  local existed = redis.call('DEL', key)
  records[key] = nil
  if left_ms > 0 and rule.kind ~= CONCURRENCY then
    redis.call('SET', marker, string.format('%.0f', now_us), 'PX', left_ms)
  end
  answer(existed, 0, 0, 0)
end

-- A log's refund writes at once, after what the call had pending for it.
local function refund_log(key, rule, cost, decided_at_us)
  write(records[key])
  local refunded = log_refund(key, rule, now_us, cost, decided_at_us)
  records[key] = nil
  return refunded, 0
end

-- When one rate's part of a decision is paid off. The decision says when the last of its rates is: that is this one where
-- no other can have stood so far ahead. Else only what the decision itself paid for is sure to lie ahead.
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
    local at = slot * RULE_LENGTHS[rule.kind]
    local first, second, third = state_under(record, rule, slot)
    local given, own_reset_us
    if rule.kind == GCRA then
      first, second, third, given, own_reset_us = gcra_refund(first, second, third, now_us, cost, decided_at_us,
        own_reset_at_us(rule, slot, cost, decided_at_us, reset_at_us), rule[at + 1], rule[at + 2], rule[at + 3], rule[at + 4], rule[at + 5], rule[at + 6])
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

-- Once for each decision: the companion keeps the answer for as long as it could be asked again.
local function refund(key, marker, companion, rule, cost, decided_at_us, reset_at_us)
  local done = companions[companion]
  if done then return answer(done.refunded, 0, 0, 0) end
  local known = redis.pcall('GET', companion)
  if type(known) == 'table' then return answer(WRONG_TYPE, 0, 0, 0) end
  if known and #known <= 10 and string.find(known, '^%d+$') then return answer(tonumber(known), 0, 0, 0) end
  if known then unreadable = unreadable + 1 end
  local void_us = redis.pcall('GET', marker)
  if type(void_us) == 'table' then return answer(WRONG_TYPE, 0, 0, 0) end
  if void_us and decided_at_us <= (tonumber(void_us) or now_us) then return answer(0, 0, 0, 0) end
  local record = loaded(key, rule)
  local status = status_of(record, rule)
  if status then return answer(status, 0, 0, 0) end
  if reset_at_us <= now_us then return answer(0, 0, 0, 0) end
  local refunded, reset_after_us
  if rule.kind == LOG then
    refunded, reset_after_us = refund_log(key, rule, cost, decided_at_us)
  else
    refunded, reset_after_us = refund_state(record, rule, cost, decided_at_us, reset_at_us)
  end
  companions[companion] = { refunded = refunded, expires_ms = math.ceil((reset_at_us - now_us) / 1000) }
  return answer(refunded, 0, 0, reset_after_us)
end

local function hold(verb, key, rule, holder)
  local granted, remaining
  local retry_after_us = 0
  if verb == TAKE then
    granted, remaining = holders_take(key, now_us, holder, rule[1], rule[2])
    if granted == 0 then retry_after_us = UNKNOWN_US end
  elseif verb == RENEW then
    granted, remaining = holders_renew(key, now_us, holder, rule[1], rule[2])
  else
    granted, remaining = holders_release(key, now_us, holder, rule[1], rule[2])
  end
  if granted < 0 then return answer(granted, 0, 0, 0) end
  return answer(granted, remaining, retry_after_us, holders_reset_after_us(key, now_us, rule[2]))
end

local function rules_read()
  local rules, at = {}, 3
  for index = 1, tonumber(ARGV[2]) do
    local kind = tonumber(ARGV[at])
    local rule = { kind = kind, shadow = ARGV[at + 1] == '1', tag = tonumber(ARGV[at + 2]), slots = tonumber(ARGV[at + 3]) }
    local numbers = rule.slots * RULE_LENGTHS[kind]
    for number = 1, numbers do rule[number] = tonumber(ARGV[at + 3 + number]) end
    rules[index] = rule
    at = at + 4 + numbers
  end
  return rules, at
end

local function run_acquire(keys_at, entries, count, members)
  if #members == 1 and members[1].rule.slots == 1 then
    local rule, cost = members[1].rule, members[1].cost
    for entry = 1, entries do acquire_one(KEYS[keys_at + entry], rule, cost, count) end
    return keys_at + entries
  end
  for _ = 1, entries do
    acquire_all(keys_at, members, count)
    keys_at = keys_at + #members
  end
  return keys_at
end

if ARGV[1] ~= '1' then return redis.error_reply('SGLAYOUT this script reads requests of layout 1') end
local rules, at = rules_read()
local keys_at = 0
while at <= #ARGV do
  local verb, entries, count = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local members = {}
  local last = at + 3 + 2 * tonumber(ARGV[at + 3])
  for member_at = at + 4, last, 2 do
    members[#members + 1] = { rule = rules[tonumber(ARGV[member_at])], cost = tonumber(ARGV[member_at + 1]) }
  end
  at = last + 1
  if verb == ACQUIRE then
    keys_at = run_acquire(keys_at, entries, count, members)
  else
    local rule, cost = members[1].rule, members[1].cost
    for _ = 1, entries do
      keys_at = keys_at + 1
      if verb == PEEK then
        peek(KEYS[keys_at], rule, cost)
      elseif verb == RESET then
        reset(KEYS[keys_at], KEYS[keys_at + 1], rule)
        keys_at = keys_at + 1
      elseif verb == REFUND then
        refund(KEYS[keys_at], KEYS[keys_at + 1], KEYS[keys_at + 2], rule, cost, tonumber(ARGV[at]), tonumber(ARGV[at + 1]))
        keys_at, at = keys_at + 2, at + 2
      else
        hold(verb, KEYS[keys_at], rule, ARGV[at])
        at = at + 1
      end
    end
  end
end

for index = 1, #touched do
  local record = records[touched[index]]
  if record then write(record) end
end
for key, companion in pairs(companions) do
  redis.call('SET', key, companion.refunded, 'PX', companion.expires_ms)
end
reply[2] = unreadable
return reply
