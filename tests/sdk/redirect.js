// Loaded into a Node program with `node --require`: its HTTPS connections go to SANDBOX_TLS, which has the same path and
// a certificate for the wallets' host names. The program keeps the host it has in its code, and verifies it.

const https = require('https');

const { hostname, port } = new URL(process.env.SANDBOX_TLS);
const { createConnection } = https.Agent.prototype;

https.Agent.prototype.createConnection = function redirected(options, ...rest) {
  return createConnection.call(this, { ...options, host: hostname, port }, ...rest);
};
