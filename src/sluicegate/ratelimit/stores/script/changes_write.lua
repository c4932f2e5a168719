-- Changes what a fleet is told: all or nothing, each entry with an end, under a version that only grows.
-- KEYS: version, signal, entries, order, swept. ARGV: a random word, the most entries, for how long after a sweep none
-- is worth while, in ms (0: it always is), then six for each change: name, payload ('' drops the entry), life in µs (0:
-- none that ends), factor ('' where nothing escalates), the longest life in µs, and for how long after its end an entry
-- still counts, in µs.
-- Returns the version and the time, and for each change whether it was one, the entry's end, until when it is known,
-- how often in a row it came, and its payload; the version is '' where there is no room, and then nothing was changed.
local MOST_US = 100 * 366 * 86400 * 1000000 -- what has no end is known for a century
local DROPPED_US = 60 * 1000000 -- for so long who has not looked meanwhile can be told what is no more
local LEAST_MS = 3600 * 1000 -- the version outlives short entries, so that not all is told again after each
local TIMES_MOST = 1000000
local SWEPT_EVERY = 256 -- changes: then what is over goes
local AT_ONCE = 500 -- names in one command
local FIRST, OF_EACH = 4, 6 -- where the changes begin, and how many arguments each has

local now_us = server_time_now_us()
local word, most, patience_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local number, epoch = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+):(%x+):')
number, epoch = tonumber(number or 0) + 1, epoch or word
local before, is_there, added = {}, {}, 0 -- of the entries that are to be changed, by name

local function parsed(value)
  local _, ends_us, kept_us, times, payload = string.match(value or '', '^(%d+) (%d+) (%d+) (%d+) (.*)$')
  if not ends_us or payload == '' then
    return nil
  end
  return { ends_us = tonumber(ends_us), kept_us = tonumber(kept_us), times = tonumber(times), payload = payload }
end

local function is_in_force(entry)
  return entry.ends_us == 0 or entry.ends_us > now_us
end

-- Takes out what is over; where room is wanted also what only counts for the next of its name, and what only tells that
-- it was dropped. All is told anew then, for who has not looked since would never hear of that.
local function sweep(for_room)
  local names = redis.call('ZRANGE', KEYS[4], 0, -1)
  for first = 1, #names, AT_ONCE do
    local last = math.min(first + AT_ONCE - 1, #names)
    local values = redis.call('HMGET', KEYS[3], unpack(names, first, last))
    local over = {}
    for at, value in ipairs(values) do
      local kept_us = tonumber(string.match(value or '', '^%d+ %d+ (%d+) ') or 0)
      local entry = parsed(value)
      local name = names[first + at - 1]
      local is_over = kept_us <= now_us
      if not is_there[name] and (is_over or (for_room and not (entry and is_in_force(entry)))) then
        over[#over + 1] = name
        epoch = (is_over or entry) and epoch or word
      end
    end
    if #over > 0 then
      redis.call('HDEL', KEYS[3], unpack(over))
      redis.call('ZREM', KEYS[4], unpack(over))
    end
  end
end

-- Has all be told that something was changed, and lets nothing end before *latest_us*.
local function publish(latest_us)
  local ms = math.max(LEAST_MS, math.ceil((latest_us - now_us) / 1000), redis.call('PTTL', KEYS[3]), redis.call('PTTL', KEYS[1]))
  local id = redis.call('XADD', KEYS[2], 'MAXLEN', 1, '*', 'number', string.format('%.0f', number))
  local version = string.format('%.0f', number) .. ':' .. epoch .. ':' .. word .. ':' .. id
  redis.call('SET', KEYS[1], version, 'PX', string.format('%.0f', ms))
  for at = 2, 4 do
    redis.call('PEXPIRE', KEYS[at], string.format('%.0f', ms))
  end
  return version
end

-- How an entry is to be from now on; nil where it stays as it is.
local function changed(old, payload, life_us, factor, longest_us, forget_us)
  if payload == '' then
    return old and { ends_us = 1, kept_us = now_us + DROPPED_US, times = 0, payload = '' }
  end
  if not factor then
    local ends_us = life_us > 0 and now_us + life_us or 0
    return { ends_us = ends_us, kept_us = math.max(ends_us, life_us > 0 and 0 or now_us + MOST_US), times = 0, payload = payload }
  end
  -- What comes by a rule and lies further ahead than its longest is of before the clock was set back, or of another rule.
  if old and is_in_force(old) and not (old.times > 0 and old.ends_us > now_us + longest_us) then
    return nil
  end
  local times = old and old.kept_us > now_us and math.min(old.times + 1, TIMES_MOST) or 1
  for _ = 2, times do
    if life_us >= longest_us then
      break
    end
    local before_us = life_us
    life_us = math.floor(life_us * factor)
    if life_us == before_us then
      break
    end
  end
  local ends_us = now_us + math.min(life_us, longest_us)
  return { ends_us = ends_us, kept_us = ends_us + forget_us, times = times, payload = payload }
end

for at = FIRST, #ARGV, OF_EACH do
  local name = ARGV[at]
  if before[name] == nil then
    local value = redis.call('HGET', KEYS[3], name)
    before[name], is_there[name] = parsed(value) or false, value
  end
  if ARGV[at + 1] ~= '' and not is_there[name] then -- what is dropped needs no room
    is_there[name], added = true, added + 1
  end
end
if number % SWEPT_EVERY == 0 then
  sweep(false)
end
if added > 0 and redis.call('ZCARD', KEYS[4]) + added > most then
  if patience_ms == 0 or redis.call('SET', KEYS[5], '1', 'PX', patience_ms, 'NX') then
    sweep(true)
  end
  if redis.call('ZCARD', KEYS[4]) + added > most then
    if epoch == word then
      publish(now_us)
    end
    return { '', string.format('%.0f', now_us) }
  end
end

local told, latest_us, is_changed = {}, now_us, false
for at = FIRST, #ARGV, OF_EACH do
  local name, payload = ARGV[at], ARGV[at + 1]
  local entry = changed(before[name] or nil, payload, tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]))
  if entry then
    is_changed = true
    latest_us = math.max(latest_us, entry.kept_us)
    local packed = string.format('%.0f %.0f %.0f %.0f ', number, entry.ends_us, entry.kept_us, entry.times)
    redis.call('HSET', KEYS[3], name, packed .. entry.payload)
    redis.call('ZADD', KEYS[4], number, name)
    before[name] = entry.payload ~= '' and entry or false
  end
  local known = entry or before[name] or { ends_us = 1, kept_us = 1, times = 0, payload = '' }
  told[#told + 1] = entry and 1 or 0
  told[#told + 1] = string.format('%.0f', known.ends_us)
  told[#told + 1] = string.format('%.0f', known.kept_us)
  told[#told + 1] = string.format('%.0f', known.times)
  told[#told + 1] = known.payload
end

local version = is_changed and publish(latest_us) or redis.call('GET', KEYS[1]) or '-'
return { version, string.format('%.0f', now_us), unpack(told) }
