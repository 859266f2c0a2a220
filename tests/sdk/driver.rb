# Calls an SDK as requested by lines of JSON: ruby driver.rb SDK.RB
#
# From the first line, the settings, `start` of SDK.RB makes the function that answers the later lines, each with a call
# and its fields. The response is a line with the result or the exception.

require 'json'
require File.expand_path(ARGV.fetch(0))

input = $stdin.set_encoding('UTF-8')
output = $stdout.dup
output.sync = true
$stdout.reopen($stderr)
answer = start(JSON.parse(input.readline))

input.each_line do |line|
  request = JSON.parse(line)
  response =
    begin
      { answer: answer.call(request['call'], request['fields']) }
    rescue StandardError => e
      { raised: e.class.name, message: e.message }
    end
  output.puts(JSON.generate(call: request['call'], **response))
end
