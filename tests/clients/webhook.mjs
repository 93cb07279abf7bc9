// Verifies deliveries with the reference library of Standard Webhooks: each line of stdin is {secret, headers, body}, each line of
// stdout is `ok` or why not.
import { createInterface } from 'node:readline';
import { Webhook } from 'standardwebhooks';

for await (const line of createInterface({ input: process.stdin })) {
  const { secret, headers, body } = JSON.parse(line);
  try {
    new Webhook(secret).verify(body, headers);
    console.log('ok');
  } catch (error) {
    console.log(String(error.message));
  }
}
