// Does with one of the big clients what a page does, and fails when a step is not as it should be:
//
//   node operations.mjs apollo|urql <url> <token> [--persisted]
//
// A query by GET, a mutation with variables, a cache that follows the mutation, a subscription whose events reach the cache.
// --persisted sends hashes first and the document only once, by the client's own link or exchange.
import assert from 'node:assert/strict';
import { parseArgs } from 'node:util';
import { gql } from '@apollo/client/core';
import { pipe, subscribe } from 'wonka';
import { apollo, base, urql, ws } from './clients.mjs';

const { positionals, values } = parseArgs({ allowPositionals: true, options: { persisted: { type: 'boolean', default: false } } });
const [client, url, token] = positionals;
if (!['apollo', 'urql'].includes(client) || !url || !token) {
  console.error('usage: node operations.mjs apollo|urql <url> <token> [--persisted]');
  process.exit(2);
}

const email = `${client}${values.persisted ? '-persisted' : ''}@example.test`;
const LEAD = 'query LeadByEmail($email: String!) { lead(by: { email: $email }) { id stage outcome stageVersion } }';
const CAPTURE =
  'mutation Capture($input: CaptureLeadInput!) { captureLead(input: $input) { created lead { id outcome } errors { code } } }';
const DROP =
  'mutation Drop($input: DispositionLeadInput!) { dispositionLead(input: $input) { lead { id outcome stageVersion } errors { code } } }';
// The lead is not selected: the cache can hear of the change by the subscription only.
const REOPEN = 'mutation Reopen($input: ReopenLeadInput!) { reopenLead(input: $input) { errors { code } } }';
const CHANGES =
  'subscription Changes { leadStageChanged { cursor stageVersion lead { id stage outcome stageVersion } } }';

/** What went over HTTP, as `GET hash`, `GET text`, `POST hash text` …, since it was asked last. */
let sent = [];
const watched = async (input, init = {}) => {
  const address = new URL(input);
  const call = init.body ? JSON.parse(init.body) : Object.fromEntries(address.searchParams);
  const hash = JSON.stringify(call.extensions ?? '').includes('sha256Hash');
  const how = [init.method ?? 'GET', hash && 'hash', call.query && 'text'].filter(Boolean).join(' ');
  sent.push({ how, operation: call.operationName });
  return fetch(input, init);
};
const requests = (operation) => {
  const seen = sent.filter((request) => request.operation === operation).map((request) => request.how);
  sent = [];
  return seen;
};

const within = async (seconds, what, done) => {
  const deadline = Date.now() + seconds * 1_000;
  while (!done()) {
    assert(Date.now() < deadline, `${what}: not within ${seconds} s`);
    await new Promise((wake) => setTimeout(wake, 10));
  }
};

const sockets = ws(base(url), token);
const options = { fetch: watched, persisted: values.persisted };

/** The five things that both can do. `query` answers from the network with `again`, else from the cache if it can. */
const clients = {
  apollo() {
    const client = apollo(base(url), token, sockets, options);
    return {
      query: async (text, variables, again) =>
        (await client.query({ query: gql(text), variables, fetchPolicy: again ? 'network-only' : 'cache-first' })).data,
      mutate: async (text, variables) => (await client.mutate({ mutation: gql(text), variables })).data,
      watch: (text, variables, next) =>
        client.watchQuery({ query: gql(text), variables, fetchPolicy: 'cache-first' }).subscribe(({ data }) => next(data)),
      listen: (text, next) => client.subscribe({ query: gql(text) }).subscribe(({ data, error }) => next(data, error)),
      // One entry for each object: what a mutation or an event says of a lead, every query of it shows.
      normalised: true,
    };
  },
  urql() {
    const client = urql(base(url), token, sockets, options);
    const data = ({ data, error }) => {
      if (error) throw new Error(error.message);
      return data;
    };
    return {
      query: async (text, variables, again) =>
        data(await client.query(text, variables, { requestPolicy: again ? 'network-only' : 'cache-first' }).toPromise()),
      mutate: async (text, variables) => data(await client.mutation(text, variables).toPromise()),
      watch: (text, variables, next) =>
        pipe(
          client.query(text, variables),
          subscribe((result) => next(data(result))),
        ),
      listen: (text, next) =>
        pipe(
          client.subscription(text, {}),
          subscribe((result) => next(result.data, result.error)),
        ),
      // It asks again for every document with a type that a mutation touched.
      normalised: false,
    };
  },
};

const page = clients[client]();
const captured = await page.mutate(CAPTURE, { input: { lead: { email, source: 'test' } } });
assert.deepEqual(captured.captureLead.errors, []);
assert.equal(captured.captureLead.created, true);
const { id } = captured.captureLead.lead;

requests();
const first = await page.query(LEAD, { email });
assert.equal(first.lead.id, id);
assert.equal(first.lead.outcome, 'OPEN');
const asked = requests('LeadByEmail');
if (values.persisted) {
  assert.equal(asked.length, 2, `hash, then hash with text: ${asked}`);
  assert.equal(asked[0], 'GET hash');
  assert.match(asked[1], /^(GET|POST) hash text$/);
} else {
  assert.deepEqual(asked, ['GET text']);
}
await page.query(LEAD, { email }, true);
assert.deepEqual(requests('LeadByEmail'), [values.persisted ? 'GET hash' : 'GET text'], 'known by now');
await page.query(LEAD, { email });
assert.deepEqual(requests('LeadByEmail'), [], 'the cache answers');

let shown;
page.watch(LEAD, { email }, (data) => {
  shown = data?.lead ?? shown;
});
await within(5, 'the watched query shows the lead', () => shown);
const dropped = await page.mutate(DROP, { input: { lead: { id }, outcome: 'DISQUALIFY', reason: 'NOT_ICP' } });
assert.deepEqual(dropped.dispositionLead.errors, []);
await within(5, 'the watched query follows the mutation', () => shown.outcome !== 'OPEN');
assert.equal(shown.outcome, dropped.dispositionLead.lead.outcome);
assert.equal(requests('LeadByEmail').length, page.normalised ? 0 : 1);

const events = [];
page.listen(CHANGES, (data, error) => {
  assert.equal(error, undefined);
  events.push(data.leadStageChanged);
});
// A subscription is not acknowledged, and without a cursor it begins when it is there.
await new Promise((wake) => setTimeout(wake, 300));
const reopened = await page.mutate(REOPEN, { input: { lead: { id }, reason: 'again' } });
assert.deepEqual(reopened.reopenLead.errors, []);
await within(5, 'the reopened lead is told to the subscriber', () => events.length > 0);
assert.equal(events[0].lead.id, id);
if (page.normalised) {
  await within(5, 'the watched query follows the event', () => shown.outcome === 'OPEN');
  assert.equal(shown.stageVersion, events[0].lead.stageVersion);
  assert.deepEqual(requests('LeadByEmail'), [], 'without asking again');
}
console.log(id);
process.exit(0);
