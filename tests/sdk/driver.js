// Runs in an npm SDK's environment and calls the SDK as requested by lines of JSON. Its argument is the SDK's module here.
//
// From the first line, the settings, `start` of that module makes the function that answers the later lines, each with a
// call and its fields. The response is a line with the result or the error.

const readline = require('readline');
const start = require(process.argv[2]);

function refusal(error) {
  const { status, data } = error.response || {};
  return { raised: error.code || error.name, message: error.message, status, data };
}

async function main() {
  let answer;
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    if (!answer) {
      answer = start(request);
      continue;
    }
    const result = await answer(request).then((data) => ({ answer: data }), refusal);
    console.log(JSON.stringify({ call: request.call, ...result }));
  }
}

main();
