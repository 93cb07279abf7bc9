// Runs the GraphQL-over-HTTP audits of graphql-http against a server: node audits.mjs <url> [token]
// Prints one line for each audit, and fails unless all of them pass.
import { auditServer } from 'graphql-http';

const [url, token] = process.argv.slice(2);
if (!url) {
  console.error('usage: node audits.mjs <url of /graphql> [token]');
  process.exit(2);
}

const fetchFn = (input, init = {}) => {
  const headers = new Headers(init.headers);
  if (token) headers.set('authorization', `Bearer ${token}`);
  return fetch(input, { ...init, headers });
};

const audits = await auditServer({ url, fetchFn });
for (const audit of audits) {
  console.log(`${audit.status.padEnd(6)} ${audit.id} ${audit.name}${audit.reason ? ` | ${audit.reason}` : ''}`);
}
const passed = audits.filter((audit) => audit.status === 'ok').length;
console.log(`${passed} of ${audits.length} audits passed`);
process.exit(audits.length > 0 && passed === audits.length ? 0 : 1);
