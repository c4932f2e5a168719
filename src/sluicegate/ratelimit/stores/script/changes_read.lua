-- Tells what has changed since a version.
-- KEYS: version, entries, order. ARGV: the version that is known, the history that it was of ('': tell all), and 1 where
-- more is known than that version: who wrote it wants to hear whether it was lost.
-- Returns the version alone where it is the one that is known; else with it the time, the history, whether all is
-- told or only what has changed, and name and value of each entry.
local AT_ONCE = 500 -- names in one command

local version = redis.call('GET', KEYS[1]) or ''
if version == ARGV[1] and ARGV[2] ~= '' and ARGV[3] == '0' then
  return { version }
end
local now_us = server_time_now_us()
-- Another server may have other changes under the same numbers: those that were lost when it took over.
local history = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or ''
local number, epoch = string.match(version, '^(%d+):(%x+):')
local known_number, known_epoch = string.match(ARGV[1], '^(%d+):(%x+):')
local whole = not number
  or history ~= ARGV[2]
  or epoch ~= known_epoch
  or tonumber(known_number) > tonumber(number)
local names = redis.call('ZRANGEBYSCORE', KEYS[3], whole and '-inf' or '(' .. known_number, '+inf')
local answer = { version, string.format('%.0f', now_us), history, whole and 1 or 0 }
for first = 1, #names, AT_ONCE do
  local last = math.min(first + AT_ONCE - 1, #names)
  for at, value in ipairs(redis.call('HMGET', KEYS[2], unpack(names, first, last))) do
    answer[#answer + 1] = names[first + at - 1]
    answer[#answer + 1] = value or ''
  end
end
return answer
