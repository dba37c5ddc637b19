-- Sends prebuilt requests, one after the other and from the beginning again, and reports as JSON.
--   wrk -s wrk.lua URL -- FILE STATUS DELAY FROM
-- FILE    the requests, each followed by a zero byte
-- STATUS  the only right answer; 200 is judged by wrk itself, which is cheaper: all above 399 are wrong
-- DELAY   milliseconds between an answer and the next request of the same connection, on average; 0 for none
-- FROM    how many requests of the file to pass over before the first
local requests, at = {}, 0
wrong = 0

local threads = {}
function setup(thread) table.insert(threads, thread) end

function init(args)
  local file = assert(io.open(args[1], 'rb'))
  local text, from = file:read('*a'), 1
  file:close()
  while from <= #text do
    local stop = text:find('\0', from, true)
    requests[#requests + 1] = text:sub(from, stop - 1)
    from = stop + 1
  end
  text = nil
  collectgarbage()

  local status, mean = tonumber(args[2]), tonumber(args[3])
  at = tonumber(args[4])
  if status ~= 200 then
    response = function(got) if got ~= status then wrong = wrong + 1 end end
  end
  if mean > 0 then
    delay = function() return math.random(0, 2 * mean) end
  end
  io.stderr:write('ready\n')
  io.stderr:flush()
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local wrongStatus, e = 0, summary.errors
  for _, thread in ipairs(threads) do wrongStatus = wrongStatus + thread:get('wrong') end
  io.write(string.format(
    '\n{"requests":%d,"seconds":%f,"p50":%f,"p99":%f,"above399":%d,"wrongStatus":%d,"socketErrors":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.status, wrongStatus, e.connect + e.read + e.write + e.timeout))
end
