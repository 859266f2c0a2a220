# A call is a function of the gem's Alipay::Service, or `verify?` of its Alipay::Notify.

require 'alipay'

def start(settings)
  Alipay.debug_mode = false
  Alipay.gateway_url, Alipay.pid, Alipay.key = settings.values_at('gateway_url', 'pid', 'key')
  lambda do |call, fields|
    if call == 'verify?'
      raise 'the notice is forged' unless Alipay::Notify.verify?(fields)

      fields
    else
      Alipay::Service.public_send(call, fields)
    end
  end
end
