# A call is a function of the gem's WxPay::Service. `verify?` reads a notice as the gem's manual does.

require 'wx_pay'

def start(settings)
  WxPay.debug_mode = false
  WxPay.appid, WxPay.mch_id, WxPay.key = settings.values_at('appid', 'mch_id', 'key')
  WxPay.extra_rest_client_options = { gateway_url: settings['base_url'], ssl_ca_file: settings['ca_pem'] }
  WxPay.set_apiclient_by_pkcs12(File.binread(settings['p12']), settings['mch_id']) if settings['p12']
  lambda do |call, fields|
    if call == 'verify?'
      notice = Hash.from_xml(fields['xml'])['xml']
      raise 'the signature is wrong' unless WxPay::Sign.verify?(notice)

      notice
    else
      WxPay::Service.public_send(call, fields.transform_keys(&:to_sym))
    end
  end
end
