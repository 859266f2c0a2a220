// A call is a method of the SDK. `middleware/NAME` is its Koa middleware for notices.

const Payment = require('tenpay');

// What Koa hands to a middleware. Returns what the middleware has read, or throws what it would reply.
async function read(middleware, xml) {
  const ctx = { request: { body: xml } };
  await middleware(ctx, async () => {});
  if (!ctx.request.weixin) throw new Error(ctx.body);
  return ctx.request.weixin;
}

module.exports = ({ pfx, ...settings }) => {
  const payment = new Payment({ ...settings, pfx: pfx && Buffer.from(pfx, 'base64') });
  return async ({ call, fields }) => {
    const [method, kind] = call.split('/');
    if (method === 'middleware') return read(payment.middleware(kind), fields.xml);
    const { format, ...rest } = fields;
    return payment[method](rest, format);
  };
};
