// A call is a path of V2; `secured` selects the client certificate.

const { Wechatpay, Transformer, Formatter, Hash } = require('wechatpay-axios-plugin');

// Verifies a notice as the SDK's manual does: read the XML, sign it again, compare.
function notice(xml, key) {
  const fields = Transformer.toObject(xml);
  const kind = fields.sign.length === 64 ? Hash.ALGO_HMAC_SHA256 : Hash.ALGO_MD5;
  if (!Hash.equals(Hash.sign(kind, fields, key), fields.sign)) throw new Error('the signature is wrong');
  return fields;
}

// A bill is not XML: the SDK needs its raw bytes, and has a parser for them.
const UNREAD = { responseType: 'arraybuffer', transformResponse: [(bytes) => bytes] };

module.exports = (settings) => {
  const client = new Wechatpay(settings);
  return async ({ call, fields, secured }) => {
    if (call === 'notice') return notice(fields.xml, settings.secret);
    const path = call.split('/').reduce((node, part) => node[part], client.v2);
    if (call === 'pay/downloadbill') return Formatter.castCsvBill((await path.post(fields, UNREAD)).data);
    return (await path.post(fields, secured ? { security: true } : {})).data;
  };
};
