// Runs in the environment of npm's wechatpay-axios-plugin and calls it as it is told, by lines of JSON.
//
// The first line holds the constructor's options. Each later one names a path of V2 and its fields; `secured`
// chooses the client certificate. The answer is a line with what the SDK resolved to or threw.

const readline = require('readline');
const { Wechatpay, Transformer, Formatter, Hash } = require('wechatpay-axios-plugin');

// What the SDK's own manual does with a notice: read the XML, sign it again, compare.
function notice(xml, key) {
  const fields = Transformer.toObject(xml);
  const kind = fields.sign.length === 64 ? Hash.ALGO_HMAC_SHA256 : Hash.ALGO_MD5;
  if (!Hash.equals(Hash.sign(kind, fields, key), fields.sign)) throw new Error('the signature is wrong');
  return fields;
}

// A bill is no XML, so the SDK wants its bytes left alone, and has a reader for them.
const UNREAD = { responseType: 'arraybuffer', transformResponse: [(bytes) => bytes] };

async function answer(client, key, { call, fields, secured }) {
  if (call === 'notice') return notice(fields.xml, key);
  const path = call.split('/').reduce((node, part) => node[part], client.v2);
  if (call === 'pay/downloadbill') return Formatter.castCsvBill((await path.post(fields, UNREAD)).data);
  return (await path.post(fields, secured ? { security: true } : {})).data;
}

function refusal(error) {
  const { status, data } = error.response || {};
  return { raised: error.code || error.name, says: error.message, status, data };
}

async function main() {
  let client;
  let key;
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const asked = JSON.parse(line);
    if (!client) {
      key = asked.secret;
      client = new Wechatpay(asked);
      continue;
    }
    const told = await answer(client, key, asked).then((said) => ({ answer: said }), refusal);
    console.log(JSON.stringify({ call: asked.call, ...told }));
  }
}

main();
