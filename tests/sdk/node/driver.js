// Owns one Node process that holds Microsoft's unmodified SDKs and does with them what the tests ask, one JSON line in
// (id, operation, arguments), one JSON line out (id and result or error). It must not know what a test expects.
'use strict';

const readline = require('readline');

// `device.register` is the function `register` of device.js; an SDK is loaded when it is first asked for.
function operationOf(name) {
  const [file, operation] = name.split('.');
  return require(`./${file}`)[operation];
}

// The SDK hands an AMQP error on as it came: a condition and a description.
function described(error) {
  return {
    name: String(error.name || error.condition),
    message: String(error.message),
    status: error.response?.statusCode ?? null,
    body: error.responseBody || error.description || null,
    result: error.result || null,
  };
}

async function answer(line) {
  const { id, operation, arguments: given } = JSON.parse(line);
  try {
    const result = await operationOf(operation)(given);
    return { id, result: result === undefined ? null : result };
  } catch (error) {
    return { id, error: described(error) };
  }
}

readline.createInterface({ input: process.stdin })
  .on('line', async (line) => process.stdout.write(`${JSON.stringify(await answer(line))}\n`))
  .on('close', () => process.exit(0));
