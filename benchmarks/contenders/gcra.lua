-- The shortest GCRA that answers in full: what a user of redis-py would write by hand.
local key, burst, interval_us = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local paid_us = math.max(tonumber(redis.call('GET', key) or 0), now_us)
local full_us = now_us + burst * interval_us
local next_us = paid_us + interval_us
if next_us > full_us then return { 0, 0, next_us - full_us, paid_us - now_us } end
redis.call('SET', key, string.format('%.0f', next_us), 'PX', math.ceil((next_us - now_us) / 1000))
return { 1, math.floor((full_us - next_us) / interval_us), 0, next_us - now_us }
