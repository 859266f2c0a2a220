-- For wrk: sends the payments of the file in WRK_PAYMENTS, each once. There must be more than a run can send.
local path = os.getenv("WRK_PAYMENTS")
local appcode = os.getenv("WRK_APPCODE")
local lines = {}
local place = 0

function init(args)
    for line in io.lines(path) do
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
