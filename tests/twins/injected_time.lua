-- Stands in the place of server_time.lua in tests: the last key is the time, and what expires follows it.
--
-- KEYS[#KEYS] is "now_us", or "now_us!" where keys expire by this time. The server's own time runs differently, so
-- every expiry is written down in a hash and the server gets one that cannot bite.
local server, redis = redis, {}
local INJECTED_EXPIRIES, INJECTED_PX = 'twins:expiries', 3600000
local injected_now_us = tonumber(string.match(KEYS[#KEYS], '^%-?%d+'))

local function injected_expire(key, text)
  local milliseconds = tonumber(text)
  if milliseconds < 1 or milliseconds % 1 ~= 0 then error('an expiry of ' .. milliseconds .. ' ms') end
  server.call('HSET', INJECTED_EXPIRIES, key, string.format('%.0f', injected_now_us + milliseconds * 1000))
end

if string.sub(KEYS[#KEYS], -1) == '!' then
  for at = 1, #KEYS - 1 do
    local expires_us = server.call('HGET', INJECTED_EXPIRIES, KEYS[at])
    if expires_us and tonumber(expires_us) <= injected_now_us then
      server.call('DEL', KEYS[at])
      server.call('HDEL', INJECTED_EXPIRIES, KEYS[at])
    end
  end
end

function redis.call(command, key, ...)
  if command == 'SET' then
    local value, _, milliseconds = ...
    injected_expire(key, milliseconds)
    return server.call('SET', key, value, 'PX', INJECTED_PX)
  elseif command == 'PSETEX' then
    local milliseconds, value = ...
    injected_expire(key, milliseconds)
    return server.call('SET', key, value, 'PX', INJECTED_PX)
  elseif command == 'PEXPIRE' then
    injected_expire(key, ...)
    return server.call('PEXPIRE', key, INJECTED_PX)
  elseif command == 'PTTL' then
    local expires_us = server.call('HGET', INJECTED_EXPIRIES, key)
    if expires_us then return math.ceil((tonumber(expires_us) - injected_now_us) / 1000) end
    local left_ms = server.call('PTTL', key)
    if left_ms > 0 then return INJECTED_PX end -- a test itself put it there
    return left_ms
  elseif command == 'DEL' then
    server.call('HDEL', INJECTED_EXPIRIES, key)
  end
  return server.call(command, key, ...)
end

redis.pcall, redis.error_reply = server.pcall, server.error_reply

local function server_time_now_us()
  return injected_now_us
end
