-- The one clock that decides: the server's, read once in a call. Tests put another file in this one's place.
local function server_time_now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
