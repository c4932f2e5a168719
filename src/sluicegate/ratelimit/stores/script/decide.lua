-- Decides a batch atomically on the server's clock: with plain.lua, which comes first and reads it, the only file of
-- the bundle that knows requests.
--
-- KEYS  the keys of the entries, in the order of the runs: one for each member of an entry
--       (for a reset its state, then what remembers the reset; for a refund both of these, then its companion)
-- ARGV  layout, number of rules, the rules, then runs until the end
--       rule  kind, shadow (1, or 2: in the place of the member before it), tag, slots, carry, then for each slot its
--             numbers. Carry is the way in which states of another rule are carried over, and 4 more where states are
--             marked with their rule: then follow the tag and the number of slots of the rule of those that are not
--             marked, and for each slot its numbers
--       run   verb, entries, count, members, then for each member rule and cost, then what the verb needs:
--             refund decided_at_us, reset_at_us; take, renew, release: the holder;
--             acquire, in turn: where the count is 0, a count for each entry
-- reply now_us, values that could not be read, then for each member of each entry
--       granted (or a negative status), remaining, retry_after_us, reset_after_us;
--       in turn, of one member, this `count` times: for each of as many requests of their own
--
-- Two tables keep what each key holds: `paid_us` where one number says it all, `records` for the rest. Every entry
-- reads and changes them, and each changed key is written once, at the end. (Refunds of logs and holds write at once:
-- they have their own identity.)
--
-- A function around it all, as in state.lua; and what few calls need is made by those alone.
local function decide()
  local state_read, state_of_plain, state_under, state_write, state_carried, state_rule = state_functions()
  local logs, holders -- their functions, where a rule needs them
  local companions = {}
  local raws, raws_before = {}, 0 -- what the keys behind that one held before the run
  local unreadable = 0

  local function answer(granted, remaining, retry_after_us, reset_after_us)
    local at = replied
    reply[at + 1], reply[at + 2], reply[at + 3], reply[at + 4] = granted, remaining, retry_after_us, reset_after_us
    replied = at + 4
  end

  -- The last that becomes of a record: whoever comes after reads the key anew.
  local function write(record)
    if record.changed_by then
      if record.kind == LOG then logs.write(record, now_us) else state_write(record) end
    end
    if record.unreadable then unreadable = unreadable + 1 end
  end

  -- The record of a key that one number had said all about so far.
  local function recorded(key, rule)
    local until_us = paid_us[key]
    paid_us[key] = nil
    if rule.is_plain then return state_of_plain(key, rule, until_us, until_us - now_us) end
    plain_write(key, until_us, until_us - now_us) -- another rule of the same name reads what this one would leave
    return state_read(key, rule.kind)
  end

  local function found(at, rule)
    local key = KEYS[at]
    local record = records[key]
    if record then
      if not record.changed_by or record.changed_by == rule then return record end
      write(record) -- another rule of the same name reads what this one would leave
      record = rule.kind == LOG and logs.read(key) or state_read(key, rule.kind)
    elseif paid_us[key] then
      record = recorded(key, rule)
    elseif rule.kind == LOG then
      record = logs.read(key)
    else
      record = state_read(key, rule.kind, raws[at - raws_before])
    end
    records[key] = record
    return record
  end

  -- What a rule finds: what is of another rule, and says so, is carried over.
  local function loaded(at, rule)
    local record = found(at, rule)
    if record.exists and record.tag ~= rule.tag and (record.marked or rule.was) then
      record = state_carried(record, rule)
      records[record.key] = record
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
    local kind, at = rule.kind, slot * rule.length
    if kind == LOG then return 0, 0, 0, logs.ask(record, now_us, cost, count, rule[at + 1], rule[at + 2]) end
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
    if taken > 0 or record.is_carried or is_less(record, rule, slot, first, second, third) then
      record[base + 1], record[base + 2], record[base + 3] = first, second, third
      if rule.kind == GCRA then record[base + 4] = rule[slot * 6 + 4] end
      if taken > 0 and (rule.marks or record.marked) then
        record.new_at_us = math.max(record.new_at_us or 0, now_us + reset_after_us)
      end
      record.changed_by = rule
    end
    record[base + 5] = reset_after_us
  end

  -- One limit of one rate, whatever it is.
  local function acquire_one(at, rule, cost, count)
    local record = loaded(at, rule)
    local status = status_of(record, rule)
    if status then return answer(status, 0, 0, 0) end
    local first, second, third, granted, remaining, retry_after_us, reset_after_us = ask(record, rule, 0, cost, count)
    if rule.kind == LOG then
      logs.adopt(record, rule, now_us, granted * cost)
    else
      adopt(record, rule, 0, granted * cost, first, second, third, reset_after_us)
    end
    return answer(granted, remaining, retry_after_us, reset_after_us)
  end

  -- Several limits, several rates, and looking: made by the calls that need it.
  local function several_functions()
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
      if rule.kind == LOG then logs.adopt(record, rule, now_us, wanted * cost) end
      answer_for(granted, answers)
    end

    -- One limit of several rates.
    local function acquire_rates(at, rule, cost, count)
      local record = loaded(at, rule)
      local status = status_of(record, rule)
      if status then return answer(status, 0, 0, 0) end
      local answers, granted = asked(record, rule, cost, count)
      return settle(record, rule, cost, answers, granted, granted)
    end

    -- What all members that are enforced would grant, but for one.
    local function least_but(left_out, members, grants, count)
      for index = 1, #members do
        if index ~= left_out and members[index].rule.shadow == ENFORCED then count = math.min(count, grants[index]) end
      end
      return count
    end

    -- Several limits, all or nothing: ask all, grant the least, take that from all. Shadow members never bind.
    local function acquire_all(at, members, _, count)
      local member_records, failed = {}, false
      for index = 1, #members do
        local record = loaded(at - 1 + index, members[index].rule)
        member_records[index] = record
        failed = failed or status_of(record, members[index].rule)
      end
      if failed then
        for index = 1, #members do
          answer(status_of(member_records[index], members[index].rule) or UNDECIDED, 0, 0, 0)
        end
        return
      end
      local answers, grants = {}, {}
      for index = 1, #members do
        local member = members[index]
        answers[index], grants[index] = asked(member_records[index], member.rule, member.cost, count)
      end
      local least = least_but(0, members, grants, count)
      for index = 1, #members do
        local member, wanted = members[index], least
        local granted, shadow = least, member.rule.shadow
        if shadow ~= ENFORCED then
          granted = grants[index]
          wanted = math.min(shadow == BESIDE and least_but(index - 1, members, grants, count) or least, granted)
        end
        settle(member_records[index], member.rule, member.cost, answers[index], granted, wanted)
      end
    end

    -- What an acquire would answer, and what is there now; nothing is changed.
    local function peek(at, rule, cost)
      if rule.kind == CONCURRENCY then return answer(holders.peek(KEYS[at], now_us, rule[1], rule[2])) end
      local record = loaded(at, rule)
      local status = status_of(record, rule)
      if status then return answer(status, 0, 0, 0) end
      local answers, granted = asked(record, rule, cost, 1)
      for slot = 0, rule.slots - 1 do
        local untouched = { ask(record, rule, slot, cost, 0) }
        answers[slot][5], answers[slot][7] = untouched[5], untouched[7]
      end
      return answer_for(granted, answers)
    end

    return { acquire_rates = acquire_rates, acquire_all = acquire_all, peek = peek }
  end

  -- What takes back: made by the calls that need it.
  local function undoing_functions()
    local refund_state = refund_functions(state_under, adopt)

    -- Forgets a state, and remembers until it would have been gone by itself that decisions of before are void.
    local function reset(key, marker, rule)
      if paid_us[key] then records[key] = recorded(key, rule) end
      if records[key] then write(records[key]) end
      local left_ms = redis_call('PTTL', key)
      local existed = redis_call('DEL', key)
      records[key] = nil
      if left_ms > 0 and rule.kind ~= CONCURRENCY then
        redis_call('SET', marker, string_format(WHOLE, now_us), 'PX', left_ms)
      end
      answer(existed, 0, 0, 0)
    end

    -- A log's refund writes at once, after what the call had pending for it.
    local function refund_log(key, rule, cost, decided_at_us)
      write(records[key])
      local refunded = logs.refund(key, rule, now_us, cost, decided_at_us)
      records[key] = nil
      return refunded, 0
    end

    -- Once for each decision: the companion keeps the answer for as long as it could be asked again.
    local function refund(at, rule, cost, decided_at_us, reset_at_us)
      local key, marker, companion = KEYS[at], KEYS[at + 1], KEYS[at + 2]
      local done = companions[companion]
      if done then return answer(done.refunded, 0, 0, 0) end
      local known = redis_pcall('GET', companion)
      if type(known) == 'table' then return answer(WRONG_TYPE, 0, 0, 0) end
      if known and #known <= 10 and string.find(known, '^%d+$') then return answer(tonumber(known), 0, 0, 0) end
      if known then unreadable = unreadable + 1 end
      local void_us = redis_pcall('GET', marker)
      if type(void_us) == 'table' then return answer(WRONG_TYPE, 0, 0, 0) end
      if void_us and decided_at_us <= (tonumber(void_us) or now_us) then return answer(0, 0, 0, 0) end
      local record = found(at, rule)
      if record.marked and record.tag ~= rule.tag and rule.kind ~= CALENDAR then
        rule = state_rule(record.marked, record.tag, rule) -- units go back to the rule that it is of, for nothing is to be lost by it
      else
        record = loaded(at, rule)
      end
      local status = status_of(record, rule)
      if status then return answer(status, 0, 0, 0) end
      if reset_at_us <= now_us then return answer(0, 0, 0, 0) end
      local refunded, reset_after_us
      if rule.kind == LOG then
        refunded, reset_after_us = refund_log(key, rule, cost, decided_at_us)
      else
        refunded, reset_after_us = refund_state(record, rule, cost, decided_at_us, reset_at_us)
      end
      companions[companion] = { refunded = refunded, expires_ms = math_ceil((reset_at_us - now_us) / 1000) }
      return answer(refunded, 0, 0, reset_after_us)
    end

    return { reset = reset, refund = refund }
  end

  local several, undoing

  -- Who decides an entry, and whom it is given: a rule, or the members of which each has one.
  local function acquirer(rule, width)
    if width == 1 and rule.slots == 1 then return acquire_one, rule end
    several = several or several_functions()
    if width == 1 then return several.acquire_rates, rule end
    local members = {}
    for index = 1, width do
      local member_at = at + 2 + 2 * index
      members[index] = { rule = rules[ARGV[member_at] + 0], cost = ARGV[member_at + 1] + 0 }
    end
    return several.acquire_all, members
  end

  -- Decides each entry, in turn as often as its count says; what several keys hold is read together.
  local function acquire_run(last, width, acquire, whom, cost, in_turn, count)
    local counts_at = count == 0 and at + 4 + 2 * width
    local stride = width * math_ceil(READ_MAX / width)
    for from = key_at, last, stride do
      local to = math.min(from + stride - 1, last)
      if to > from and whom.kind ~= LOG then
        raws, raws_before = redis_call('MGET', unpack(KEYS, from, to)), from - 1
      end
      for first = from, to, width do
        local turns, count = 1, counts_at and ARGV[counts_at + (first - key_at) / width] + 0 or count
        if in_turn then turns, count = count, 1 end
        for _ = 1, turns do acquire(first, whom, cost, count) end
      end
    end
    at = at + 4 + 2 * width + (counts_at and (last - key_at + 1) / width or 0)
  end

  local function run()
    local verb, entries, count, width = ARGV[at], ARGV[at + 1] + 0, ARGV[at + 2] + 0, ARGV[at + 3] + 0
    local rule, cost = rules[ARGV[at + 4] + 0], ARGV[at + 5] + 0
    if verb == ACQUIRE or verb == IN_TURN then
      local acquire, whom = acquirer(rule, width)
      local last = key_at + entries * width - 1
      acquire_run(last, width, acquire, whom, cost, verb == IN_TURN, count)
      key_at = last + 1
      return
    end
    at = at + 6
    for _ = 1, entries do
      if verb == PEEK then
        several = several or several_functions()
        several.peek(key_at, rule, cost)
        key_at = key_at + 1
      elseif verb == RESET then
        undoing = undoing or undoing_functions()
        undoing.reset(KEYS[key_at], KEYS[key_at + 1], rule)
        key_at = key_at + 2
      elseif verb == REFUND then
        undoing = undoing or undoing_functions()
        undoing.refund(key_at, rule, cost, ARGV[at] + 0, ARGV[at + 1] + 0)
        key_at, at = key_at + 3, at + 2
      else
        answer(holders.hold(verb, KEYS[key_at], now_us, ARGV[at], rule[1], rule[2]))
        key_at, at = key_at + 1, at + 1
      end
    end
  end

  for number = 1, #rules do
    local kind = rules[number].kind
    if kind == LOG then logs = logs or log_functions() end
    if kind == CONCURRENCY then holders = holders or holders_functions() end
  end
  while at <= arguments do
    if not plain_run() then run() end
  end

  for key, until_us in pairs(paid_us) do plain_write(key, until_us, until_us - now_us) end
  for _, record in pairs(records) do write(record) end
  for key, companion in pairs(companions) do
    redis_call('SET', key, companion.refunded, 'PX', companion.expires_ms)
  end
  reply[2] = unreadable
end

decide()
return reply
