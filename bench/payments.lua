-- For wrk: sends the payments of the files in WRK_PAYMENTS, each once. Each thread has one of them, and each line of
-- WRK_PAYMENTS is a path. There must be more payments than a run can send.
local appcode = os.getenv("WRK_APPCODE")
local lines = {}
local place = 0
local threads = 0

function setup(thread)
    threads = threads + 1
    thread:set("number", threads)
end

function init(args)
    local paths = {}
    for path in string.gmatch(os.getenv("WRK_PAYMENTS"), "[^\n]+") do
        paths[#paths + 1] = path
    end
    for line in io.lines(paths[number]) do
        lines[#lines + 1] = line
    end
end

function request()
    place = place + 1
    local line = lines[place]
    if line == nil then
        error("more payments were needed")
    end
    local space = string.find(line, " ", 1, true)
    return wrk.format("POST", "/trade/v1/payment", {
        ["X-QF-APPCODE"] = appcode,
        ["X-QF-SIGN"] = string.sub(line, 1, space - 1),
        ["Content-Type"] = "application/x-www-form-urlencoded",
    }, string.sub(line, space + 1))
end
