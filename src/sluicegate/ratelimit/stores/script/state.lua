-- The layout of state on the server, version 1: how a value is read, and how it is written.
--
-- plain   one whole number: gcra (paid until, in microseconds, where a unit takes whole microseconds and
--         nothing is owed) and windows (start in seconds * 2^21 + used, for limits up to 2^20)
-- counted FORM, start in seconds, previous, current: sliding_window_counter of one rate, for limits up to 2^23 - 1
-- packed  version, rule tag, then for each rate its slot: gcra (paid, remainder, per, debt),
--         windows (start, used; a calendar's may start before 1970), sliding_window_counter (start, previous, current)
-- marked  MARKED, rule tag, half the tag of the rule that it was carried over from, when it is as good as new,
--         then for each rate its slot and the numbers of its rule: gcra (interval, remainder, burst), others (limit,
--         period; of a calendar how long its window was)
--
-- A record keeps five numbers for each rate: three of state, gcra's denominator of the remainder, the time to reset.
-- It is made with room for those of one rate.
local STRIDE = 5

-- The statuses that stand in place of a number of grants.
local WRONG_TYPE, UNKNOWN_LAYOUT, OUT_OF_RANGE, UNDECIDED = -1, -2, -3, -4

-- One function around them all, so that what they use of the outside is found once in a call. Lua looks for each such
-- variable among all others that are in use, and would do so for each function that uses it: half of a call's time.
local function state_functions()
  local PLAIN_SHIFT = 2097152 -- 2^21: more than twice the largest plain limit
  local PLAIN_LIMIT_MAX = 1048575
  local LAYOUT, MARKED, COUNTED = 1, 2, 16 -- the first bytes of packed, of marked, and of counted values
  local COUNTED_LIMIT_MAX, START_S_MAX = 8388607, 4294967295 -- counts of twice the limit take three bytes, seconds four
  local HEADER_LENGTH, MARKED_HEADER_LENGTH = 5, 14
  local SLOT_LENGTHS, MARKED_SLOT_LENGTHS = { 22, 11, 15, 11 }, { 37, 22, 26, 22 }
  local HALF = 65536 -- of a tag
  local EXACT_MAX = 9007199254740992 -- from here a double no longer holds each whole number
  local NEW_AFTER_MAX_US = 562949953421312 -- 2^49, eighteen years: more than any state takes to be none
  local SLOTS_MAX = 8 -- the most rates that a limit has

  -- The record of what one number says, as an acquire would have left it.
  local function state_of_plain(key, rule, number, reset_after_us)
    return { number, 0, 0, nil, reset_after_us, key = key, kind = rule.kind, exists = true, changed_by = rule }
  end

  local function state_read_plain(record, kind, number)
    if kind == GCRA then
      record[1] = number
    else
      local start_s = math.floor(number / PLAIN_SHIFT)
      record[1], record[2] = start_s * 1000000, number - start_s * PLAIN_SHIFT
    end
  end

  local function state_read_packed(record, kind, raw, slots)
    local length = SLOT_LENGTHS[kind]
    for slot = 0, slots - 1 do
      local at, base = HEADER_LENGTH + slot * length + 1, slot * STRIDE
      if kind == GCRA then
        record[base + 1], record[base + 2], record[base + 4], record[base + 3] = struct.unpack('>I7I4I4I7', raw, at)
      elseif kind == SLIDING_WINDOW_COUNTER then
        record[base + 1], record[base + 2], record[base + 3] = struct.unpack('>I7I4I4', raw, at)
      else
        record[base + 1], record[base + 2] = struct.unpack('>i7I4', raw, at)
      end
    end
  end

  -- Reads marked slots; says whether they can be those of rules.
  local function state_read_marked(record, kind, raw, slots)
    local _
    _, record.tag, record.before, record.new_at_us = struct.unpack('>BI4I2I7', raw)
    local length, numbers, sound = MARKED_SLOT_LENGTHS[kind], {}, record.new_at_us - now_us < NEW_AFTER_MAX_US
    for slot = 0, slots - 1 do
      local at, base = MARKED_HEADER_LENGTH + slot * length + 1, slot * STRIDE
      if kind == GCRA then
        local interval_us, interval_rem, burst
        record[base + 1], record[base + 2], record[base + 4], record[base + 3], interval_us, interval_rem, burst =
          struct.unpack('>I7I4I4I7I7I4I4', raw, at)
        local per, of = record[base + 4], slot * 6
        numbers[of + 1], numbers[of + 2], numbers[of + 3], numbers[of + 4] = burst, interval_us, interval_rem, per
        numbers[of + 5], numbers[of + 6] = exact_time_of(burst, interval_us, interval_rem, per)
        sound = sound and interval_rem < per and burst > 0 and interval_us + interval_rem > 0 and
          numbers[of + 5] < EXACT_MAX
      elseif kind == SLIDING_WINDOW_COUNTER then
        record[base + 1], record[base + 2], record[base + 3], numbers[slot * 2 + 1], numbers[slot * 2 + 2] =
          struct.unpack('>I7I4I4I4I7', raw, at)
        sound = sound and numbers[slot * 2 + 1] > 0 and numbers[slot * 2 + 2] > 0
      else
        record[base + 1], record[base + 2], numbers[slot * 2 + 1], numbers[slot * 2 + 2] =
          struct.unpack('>i7I4I4I7', raw, at)
        sound = sound and numbers[slot * 2 + 1] > 0 and numbers[slot * 2 + 2] > 0
      end
    end
    record.marked = numbers
    return sound
  end

  -- What a key holds, of which `raw` may have been read before. What this version cannot have written counts as
  -- nothing, and is told to the caller.
  local function state_read(key, kind, raw)
    local record = { nil, nil, nil, nil, nil, key = key, kind = kind, exists = false, changed_by = false }
    raw = raw or redis_pcall('GET', key) -- MGET tells a value of another type as none
    if not raw then return record end
    if type(raw) == 'table' then
      record.status = WRONG_TYPE
      return record
    end
    record.exists = true
    local number = kind ~= SLIDING_WINDOW_COUNTER and plain_number(raw)
    if number then
      state_read_plain(record, kind, number)
      return record
    end
    local version, slots = string.byte(raw, 1), (#raw - HEADER_LENGTH) / SLOT_LENGTHS[kind]
    if version == MARKED then slots = (#raw - MARKED_HEADER_LENGTH) / MARKED_SLOT_LENGTHS[kind] end
    if version == COUNTED and kind == SLIDING_WINDOW_COUNTER and #raw == 11 then
      local start_s
      start_s, record[2], record[3] = struct.unpack('>I4I3I3', raw, 2)
      record[1] = start_s * 1000000
    elseif (version == LAYOUT or version == MARKED) and slots >= 1 and slots <= SLOTS_MAX and slots % 1 == 0 then
      if version == LAYOUT then
        record.tag = select(2, struct.unpack('>BI4', raw))
        state_read_packed(record, kind, raw, slots)
      elseif not state_read_marked(record, kind, raw, slots) then
        return { nil, nil, nil, nil, nil, key = key, kind = kind, exists = true, changed_by = false, unreadable = true }
      end
    elseif version and version > MARKED and version < 10 then
      record.status = UNKNOWN_LAYOUT
    else
      record.unreadable = true
    end
    return record
  end

  -- The state of one rate as a rule reads it: a remainder over another rule's denominator rounds up.
  local function state_under(record, rule, slot)
    local base = slot * STRIDE
    local first, second, third = record[base + 1] or 0, record[base + 2] or 0, record[base + 3] or 0
    if second > 0 and rule.kind == GCRA then
      local per = rule[slot * 6 + 4]
      if record[base + 4] ~= per or second >= per then return first + 1, 0, third end
    end
    return first, second, third
  end

  local function state_packed(record, rule)
    local is_marked = rule.marks or record.marked
    local packed = is_marked and struct.pack('>BI4I2I7', MARKED, rule.tag, record.before or 0, record.new_at_us or 0) or
      struct.pack('>BI4', LAYOUT, rule.tag)
    for slot = 0, rule.slots - 1 do
      local first, second, third = state_under(record, rule, slot)
      local at = slot * rule.length
      if rule.kind == GCRA then
        packed = packed .. struct.pack('>I7I4I4I7', first, second, rule[at + 4], third)
        if is_marked then packed = packed .. struct.pack('>I7I4I4', rule[at + 2], rule[at + 3], rule[at + 1]) end
      else
        if rule.kind == SLIDING_WINDOW_COUNTER then
          packed = packed .. struct.pack('>I7I4I4', first, second, third)
        else
          packed = packed .. struct.pack('>i7I4', first, second)
        end
        local period_us = rule.kind == CALENDAR and rule[at + 4] - rule[at + 3] or rule[at + 2]
        if is_marked then packed = packed .. struct.pack('>I4I7', rule[at + 1], period_us) end
      end
    end
    return packed
  end

  local function state_value(record, rule)
    if rule.slots == 1 and not rule.marks and not record.marked then
      if rule.kind == GCRA and rule[4] == 1 and record[3] == 0 then return string_format(WHOLE, record[1]) end
      local counts = rule.kind == FIXED_WINDOW or rule.kind == CALENDAR
      if counts and rule[1] <= PLAIN_LIMIT_MAX and record[1] >= 0 and record[1] % 1000000 == 0 then
        return string_format(WHOLE, record[1] / 1000000 * PLAIN_SHIFT + record[2])
      end
      local start_s = record[1] / 1000000
      if rule.kind == SLIDING_WINDOW_COUNTER and rule[1] <= COUNTED_LIMIT_MAX and start_s % 1 == 0 and start_s >= 0 and
         start_s <= START_S_MAX then
        return struct.pack('>BI4I3I3', COUNTED, start_s, record[2], record[3])
      end
    end
    return state_packed(record, rule)
  end

  -- Every write sets an expiry: as long as it takes for the state to equal no state.
  local function state_write(record)
    local rule, reset_after_us = record.changed_by, record[5]
    for slot = 1, rule.slots - 1 do
      reset_after_us = math.max(reset_after_us, record[slot * STRIDE + 5])
    end
    if record.new_at_us then reset_after_us = math.max(reset_after_us, record.new_at_us - now_us) end
    if reset_after_us > 0 then
      local left_ms = string_format(WHOLE, math_ceil(reset_after_us / 1000))
      redis_call('PSETEX', record.key, left_ms, state_value(record, rule))
    elseif record.exists then
      redis_call('DEL', record.key)
    end
  end

  -- The rule of such numbers; of a calendar only how long a window was, not where it lies.
  local function state_rule(numbers, tag, like)
    local length = like.kind == GCRA and 6 or 2
    local rule = { kind = like.kind, tag = tag, slots = #numbers / length, length = length }
    for index, number in ipairs(numbers) do rule[index] = number end
    return rule
  end

  -- What a rule makes of a record of another rule: it is carried over rate by rate. Back to the rule from which it
  -- came it is kept: who alternates with another gains nothing.
  local function state_carried(record, rule)
    if record.status or record.unreadable then return record end -- of no rule that is known here
    if not record.marked and record.tag and record.tag ~= rule.was.tag then return record end
    local old = record.marked and state_rule(record.marked, record.tag, rule) or state_rule(rule.was, rule.was.tag, rule)
    local way = record.marked and record.before == rule.tag % HALF and KEEP or rule.carry
    local new_at_us = record.new_at_us or 0
    local made = { nil, nil, nil, nil, nil, key = record.key, kind = record.kind, exists = true, changed_by = false,
                   marked = old, tag = rule.tag, before = old.tag % HALF, is_carried = true, new_at_us = new_at_us }
    local lengths_us = {}
    for index = rule.kind == GCRA and 5 or 2, #old, old.length do lengths_us[#lengths_us + 1] = old[index] end
    for slot = 0, rule.slots - 1 do
      local at, base, until_us = slot * rule.length, slot * STRIDE
      local length_us = rule.kind == GCRA and rule[at + 5] or rule.kind == CALENDAR and rule[at + 4] - rule[at + 3] or
        rule[at + 2]
      local from = carrying_nearest(lengths_us, length_us)
      local of = from * old.length
      local first, second, third = state_under(record, old, from)
      if rule.kind == GCRA then
        first, second, third, until_us = carrying_gcra_carried(first, second, third, now_us, new_at_us, way,
          old[of + 1], old[of + 2], old[of + 3], old[of + 4], old[of + 5], old[of + 6],
          rule[at + 1], rule[at + 2], rule[at + 3], rule[at + 4], rule[at + 5], rule[at + 6])
        made[base + 4] = rule[at + 4]
      elseif rule.kind == SLIDING_WINDOW_COUNTER then
        first, second, third, until_us = carrying_sliding_carried(first, second, third, now_us, new_at_us, way,
          old[of + 1], old[of + 2], rule[at + 1], rule[at + 2])
      elseif rule.kind == FIXED_WINDOW then
        first, second, third, until_us = carrying_fixed_window_carried(first, second, now_us, new_at_us, way,
          old[of + 1], old[of + 2], rule[at + 1], rule[at + 2])
      else
        first, second, third, until_us = carrying_calendar_quota_carried(first, second, now_us, new_at_us, way,
          old[of + 1], rule[at + 1], rule[at + 2], rule[at + 3], rule[at + 4], rule[at + 5])
      end
      made[base + 1], made[base + 2], made[base + 3] = first, second, third
      made.new_at_us = math.max(made.new_at_us, until_us)
    end
    if made.new_at_us <= now_us then made.before = 0 end
    return made
  end

  return state_read, state_of_plain, state_under, state_write, state_carried, state_rule
end
