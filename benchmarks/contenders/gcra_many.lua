-- The short GCRA over many keys: for each of them whether the request may pass, and how many could follow.
local burst, interval_us = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local full_us = now_us + burst * interval_us
local answers = {}
for place, key in ipairs(KEYS) do
  local next_us = math.max(tonumber(redis.call('GET', key) or 0), now_us) + interval_us
  if next_us > full_us then
    answers[2 * place - 1], answers[2 * place] = 0, 0
  else
    redis.call('SET', key, string.format('%.0f', next_us), 'PX', math.ceil((next_us - now_us) / 1000))
    answers[2 * place - 1], answers[2 * place] = 1, math.floor((full_us - next_us) / interval_us)
  end
end
return answers
