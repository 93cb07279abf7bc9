// Subscribes with the official clients and prints the data of each event as one JSON line:
//
//   node subscribe.mjs <url> <token> --count 100 --document 'subscription($after: FeedCursor) { ... { cursor } }'
//
//   --mode NAME           ws: graphql-ws on <url>/graphql (the default); sse: graphql-sse on <url>/graphql/stream;
//                         apollo-ws, urql-ws, urql-sse: Apollo Client and urql over these
//   --document TEXT       the subscription; its first root field must select `cursor` for --cut
//   --variables JSON      variables of the subscription (default {})
//   --count N             how many events to wait for
//   --after NAME          the variable that takes the last cursor on resuming (default after)
//   --resume variable|header   with sse: resume by that variable or by Last-Event-ID (default variable)
//   --cut                 go through a TCP proxy that cuts the connection at random
//   --seed N              for the proxy's randomness; printed on stderr
//   --idle SECONDS        give up after so long without an event (default 20)
import { parseArgs } from 'node:util';
import { base, streams } from './clients.mjs';
import { faultproxy, random } from './faultproxy.mjs';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    mode: { type: 'string', default: 'ws' },
    document: { type: 'string' },
    variables: { type: 'string', default: '{}' },
    count: { type: 'string', default: '1' },
    after: { type: 'string', default: 'after' },
    resume: { type: 'string', default: 'variable' },
    cut: { type: 'boolean', default: false },
    seed: { type: 'string' },
    idle: { type: 'string', default: '20' },
  },
});
const [url, token] = positionals;
if (!url || !token || !values.document || !Object.hasOwn(streams, values.mode)) {
  const modes = Object.keys(streams).join('|');
  console.error(`usage: node subscribe.mjs <url> <token> --document 'subscription …' [--mode ${modes}] [--count N] [--cut]`);
  process.exit(2);
}

const wanted = Number(values.count);
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 32));
const next = random(seed);
const proxy = values.cut ? await faultproxy(new URL(url), next) : undefined;

let received = 0;
let cursor;
let idle;
const fail = (reason) => {
  const text = Array.isArray(reason)
    ? JSON.stringify(reason)
    : reason?.code
      ? `closed with ${reason.code} ${reason.reason}`
      : (reason?.stack ?? String(reason));
  console.error(`failed after ${received} of ${wanted} events (seed ${seed}, ${proxy?.cuts ?? 0} cuts): ${text}`);
  process.exit(1);
};
const watch = () => {
  clearTimeout(idle);
  idle = setTimeout(() => fail(`no event within ${values.idle} s`), Number(values.idle) * 1_000);
};

/** A broken connection is what the proxy is for; an answer with errors never is. */
const broken = (reason) => {
  // Apollo puts the close code into a text.
  const code = reason?.code ?? Number(/closed with event (\d+)/.exec(reason?.message)?.[1]);
  return values.cut && !Array.isArray(reason) && ![4400, 4401, 4406, 4409, 4429].includes(code) && !(reason?.response?.status >= 400);
};

// One client for all its connections, as in a page that stays open.
const subscribe = streams[values.mode](base(url, proxy?.port), token, () =>
  values.resume === 'header' && cursor ? { 'last-event-id': cursor } : {},
);

/** One connection's worth of events. */
function round() {
  const variables = JSON.parse(values.variables);
  if (cursor && values.resume === 'variable') variables[values.after] = cursor;
  return new Promise((done) => {
    let stop = () => {};
    const end = (reason) => {
      // The first reason counts: to stop is itself told as an end by some.
      done(reason);
      stop();
    };
    stop = subscribe(
      { query: values.document, variables },
      {
        next: (event) => {
          if (received >= wanted) return;
          if (event.errors) return fail(event.errors);
          watch();
          received += 1;
          cursor = Object.values(event.data)[0]?.cursor ?? cursor;
          process.stdout.write(`${JSON.stringify(event.data)}\n`);
          if (received === wanted) end('complete');
        },
        error: end,
        complete: () => end('complete'),
      },
    );
  });
}

watch();
while (received < wanted) {
  const reason = await round();
  if (reason === 'complete') break;
  if (!broken(reason)) fail(reason);
  await new Promise((wake) => setTimeout(wake, 20 + next() * 80));
}
clearTimeout(idle);
proxy?.stop();
console.error(`${received} events (seed ${seed}, ${proxy?.cuts ?? 0} cuts)`);
process.stdout.write('', () => process.exit(received === wanted ? 0 : 1));
