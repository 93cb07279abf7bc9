// A real OpenID Connect issuer: `oidc-provider` with one client that gets access tokens as JWTs for an audience. It prints its
// address, then answers lines on stdin: {"kind": …, …} asks for a token, `rotate` gives it new keys at the next start.
import { createHmac, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';

const AUDIENCE = 'handfast';
const key = (kid) => ({
  ...generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }),
  kid,
  use: 'sig',
  alg: 'RS256',
});
const keys = [key('first')];

const server = createServer((request, response) => handle(request, response));
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const issuer = `http://127.0.0.1:${server.address().port}`;
let handle;

function start() {
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: [
      {
        client_id: 'ada',
        client_secret: 'secret-of-ada',
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
      },
    ],
    scopes: ['leads:read', 'leads:write'],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, resource) => ({
          scope: 'leads:read leads:write',
          audience: resource === 'urn:other' ? 'other' : AUDIENCE,
          accessTokenTTL: 600,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    ttl: { ClientCredentials: 600 },
  });
  handle = provider.callback();
}
start();

async function issued(resource, scope) {
  const response = await fetch(`${issuer}/token`, {
    method: 'POST',
    headers: {
      authorization: `Basic ${Buffer.from('ada:secret-of-ada').toString('base64')}`,
      'content-type': 'application/x-www-form-urlencoded',
    },
    body: new URLSearchParams({ grant_type: 'client_credentials', resource, scope }),
  });
  const answer = await response.json();
  if (!answer.access_token) throw new Error(JSON.stringify(answer));
  return answer.access_token;
}

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
// RSA signs with the issuer's own key, or with one that somebody made up.
function forge({ header = {}, claims = {}, stranger = false }) {
  const now = Math.floor(Date.now() / 1000);
  const head = { alg: 'RS256', typ: 'at+jwt', kid: 'first', ...header };
  const body = { iss: issuer, aud: AUDIENCE, sub: 'ada', scope: 'leads:read', iat: now, exp: now + 60, ...claims };
  for (const [name, value] of Object.entries(body)) {
    if (typeof value === 'string' && value.startsWith('now')) body[name] = now + Number(value.slice(3));
  }
  const text = `${encode(head)}.${encode(body)}`;
  if (head.alg === 'none') return `${text}.`;
  if (head.alg === 'HS256') {
    const pem = createPublicKey({ key: keys[0], format: 'jwk' }).export({ type: 'spki', format: 'pem' });
    return `${text}.${createHmac('sha256', pem).update(text).digest('base64url')}`;
  }
  const from = stranger ? generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey : { key: keys[0], format: 'jwk' };
  return `${text}.${sign('sha256', Buffer.from(text), from).toString('base64url')}`;
}

console.log(issuer);
for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  if (asked.kind === 'issue') console.log(await issued(asked.resource ?? 'urn:handfast', asked.scope ?? 'leads:read'));
  if (asked.kind === 'forge') console.log(forge(asked));
  if (asked.kind === 'rotate') {
    keys.unshift(key('second'));
    start();
    console.log('rotated');
  }
}
server.close();
