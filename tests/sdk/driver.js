// Runs in the environment of npm's wechatpay-axios-plugin and calls it as requested by lines of JSON.
//
// The first line has the constructor's options. Each later line has a path of V2 and its fields; `secured` selects the
// client certificate. The response is a line with the SDK's result or error.

const readline = require('readline');
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

async function answer(client, key, { call, fields, secured }) {
  if (call === 'notice') return notice(fields.xml, key);
  const path = call.split('/').reduce((node, part) => node[part], client.v2);
  if (call === 'pay/downloadbill') return Formatter.castCsvBill((await path.post(fields, UNREAD)).data);
  return (await path.post(fields, secured ? { security: true } : {})).data;
}

function refusal(error) {
  const { status, data } = error.response || {};
  return { raised: error.code || error.name, message: error.message, status, data };
}

async function main() {
  let client;
  let key;
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    if (!client) {
      key = request.secret;
      client = new Wechatpay(request);
      continue;
    }
    const result = await answer(client, key, request).then((data) => ({ answer: data }), refusal);
    console.log(JSON.stringify({ call: request.call, ...result }));
  }
}

main();
