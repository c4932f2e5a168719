-- Says which commands the user who asks may not run, by their places; none of them is run.
local refused = {}
for at, text in ipairs(ARGV) do
  local words = {}
  for word in string.gmatch(text, '%S+') do
    words[#words + 1] = word
  end
  if not redis.acl_check_cmd(unpack(words)) then
    refused[#refused + 1] = at
  end
end
return refused
