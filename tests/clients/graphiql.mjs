// Uses GraphiQL as a person does, in a real browser, and fails on whatever its content policy had to stop:
//
//   node graphiql.mjs <url> <token> <chromium> [--screenshot FILE]
//
// Every report of the policy, every error in the console, every answer that is an error and every request to another host
// counts. At the end it breaks the policy itself, to see that the watch works.
import assert from 'node:assert/strict';
import { parseArgs } from 'node:util';
import puppeteer from 'puppeteer-core';

const { positionals, values } = parseArgs({ allowPositionals: true, options: { screenshot: { type: 'string' } } });
const [url, token, executablePath] = positionals;
if (!url || !token || !executablePath) {
  console.error('usage: node graphiql.mjs <url> <token> <chromium> [--screenshot FILE]');
  process.exit(2);
}
const base = new URL(url).origin;
const SECONDS = 20;

const wrong = [];
const asked = [];
const frames = [];

/** Waits for a condition in the page or here. */
const until = async (what, done) => {
  const deadline = Date.now() + SECONDS * 1_000;
  for (;;) {
    const found = await done();
    if (found) return found;
    assert(Date.now() < deadline, `${what}: not within ${SECONDS} s; so far: ${JSON.stringify(wrong)}`);
    await new Promise((wake) => setTimeout(wake, 50));
  }
};

const browser = await puppeteer.launch({
  executablePath,
  headless: true,
  args: [
    // Chromium refuses to sandbox what root starts; the page here is our own.
    ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
    '--disable-dev-shm-usage',
    '--disable-gpu',
  ],
});
let failure;
try {
  const page = await browser.newPage();
  await page.setViewport({ width: 1280, height: 800 });
  await page.exposeFunction('reportViolation', (text) => wrong.push(text));
  await page.evaluateOnNewDocument(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      const { effectiveDirective, blockedURI, sourceFile, lineNumber, sample } = event;
      window.reportViolation(`policy: ${effectiveDirective} stopped ${blockedURI} (${sourceFile}:${lineNumber}) ${sample}`);
    });
  });
  page.on('console', (message) => {
    if (message.type() === 'error') wrong.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => wrong.push(`script: ${error?.stack ?? error}`));
  page.on('request', (request) => {
    const address = new URL(request.url());
    if (address.protocol !== 'data:' && address.origin !== base) wrong.push(`another host: ${request.url()}`);
    if (address.pathname === '/graphql') asked.push(request);
  });
  page.on('response', (response) => {
    if (response.status() >= 400) wrong.push(`${response.status()}: ${response.url()}`);
  });
  const protocol = await page.createCDPSession();
  await protocol.send('Network.enable');
  protocol.on('Network.webSocketCreated', (socket) => {
    if (new URL(socket.url).host !== new URL(base).host) wrong.push(`another host: ${socket.url}`);
  });
  protocol.on('Network.webSocketFrameSent', ({ response }) => frames.push(response.payloadData));

  /** The first of several elements with exactly this text or label. */
  const press = async (selector, name) => {
    const found = await until(`${selector} ${name}`, async () => {
      for (const element of await page.$$(selector)) {
        const called = await element.evaluate((node) => [node.textContent.trim(), node.getAttribute('aria-label')]);
        if (called.includes(name)) return element;
      }
      return undefined;
    });
    await found.click();
  };
  const editor = (which) => page.evaluate((at) => document.querySelector(at)?.CodeMirror?.getValue() ?? '', which);
  const answer = () => editor('.result-window .CodeMirror');
  /** Runs what the editor has. GraphiQL notes an operation's name a moment late and sends the old one until then: so, again. */
  const run = (what, done) =>
    until(what, async () => {
      const button = await page.$('.graphiql-execute-button[aria-label^="Execute"]');
      await button?.click();
      await new Promise((wake) => setTimeout(wake, 500));
      return done();
    });
  const documentation = () => press('.graphiql-sidebar button', 'Show Documentation Explorer');
  const documented = (text) =>
    until(`the documentation of ${text}`, () =>
      page.evaluate((part) => document.querySelector('.graphiql-doc-explorer')?.textContent.includes(part), text),
    );

  // The page comes alone, and asks nothing before it has a token.
  const main = await page.goto(`${base}/graphiql`, { waitUntil: 'networkidle0' });
  const policy = main.headers()['content-security-policy'] ?? '';
  assert.match(policy, /default-src 'none'/);
  assert.match(policy, /script-src 'self'(;|$)/);
  assert.doesNotMatch(policy, /unsafe/);
  assert.equal(main.headers()['cache-control'], 'no-store');
  assert.equal(asked.length, 0);

  // With a token it has the schema, and its documentation.
  await page.type('#token', token);
  await page.keyboard.press('Enter');
  await documentation();
  await documented('Root Types');
  assert(asked.length > 0 && asked.every((request) => request.headers().authorization === `Bearer ${token}`));
  assert.equal(await page.evaluate((text) => JSON.stringify({ ...localStorage }).includes(text), token), false);
  await press('.graphiql-doc-explorer a', 'Query');
  await documented('feedHead');

  // The example of the first tab runs as it is.
  await until('an example', async () => (await editor('.graphiql-query-editor .CodeMirror')).includes('query Funnel'));
  await run('the example', async () => (await answer()).includes('"stages"'));

  // So does what somebody types.
  await page.click('.graphiql-query-editor .CodeMirror');
  await page.keyboard.down('Control');
  await page.keyboard.press('a');
  await page.keyboard.up('Control');
  await page.keyboard.type('query Typed { typed: feedHead }');
  await run('the typed query', async () => (await answer()).includes('"typed"'));

  // The dialogs, which lock the page behind them by a style of their own.
  for (const dialog of ['Open settings dialog', 'Open short keys dialog']) {
    await press('.graphiql-sidebar button', dialog);
    await page.waitForSelector('.graphiql-dialog', { timeout: SECONDS * 1_000 });
    await page.keyboard.press('Escape');
    await page.waitForSelector('.graphiql-dialog', { hidden: true, timeout: SECONDS * 1_000 });
  }

  // A subscription goes over a socket that begins with the token.
  await press('.graphiql-tab-button', 'Changes');
  await until('the subscription', async () =>
    (await editor('.graphiql-query-editor .CodeMirror')).includes('subscription Changes'),
  );
  await run('a subscribe message', () => frames.some((frame) => frame.includes('"subscribe"')));
  const hello = JSON.parse(frames[0]);
  assert.deepEqual([hello.type, hello.payload?.authorization], ['connection_init', `Bearer ${token}`]);
  let leads = 0;
  await until('an event', async () => {
    // A subscription is not acknowledged, so that the first change may come before it.
    leads += 1;
    const query = 'mutation($input: CaptureLeadInput!) { captureLead(input: $input) { errors { code } } }';
    const variables = { input: { lead: { email: `graphiql-${leads}@example.test`, source: 'test' } } };
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
    const response = await fetch(`${base}/graphql`, { method: 'POST', headers, body: JSON.stringify({ query, variables }) });
    assert.deepEqual((await response.json()).data?.captureLead.errors, []);
    await new Promise((wake) => setTimeout(wake, 300));
    return (await answer()).includes('"leadStageChanged"');
  });
  if (values.screenshot) await page.screenshot({ path: values.screenshot });
  await press('.graphiql-execute-button', 'Stop query (Ctrl-Enter)');
  await until('the end of the subscription', () => frames.some((frame) => frame.includes('"complete"')));

  // The tab knows its token after a reload, until it is told to forget it.
  await page.reload({ waitUntil: 'networkidle0' });
  await documentation();
  await documented('Root Types');
  await page.click('#forget');
  await until('an empty page', () => page.evaluate(() => document.querySelector('.graphiql-container') === null));
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  assert.deepEqual(wrong, []);

  // What the policy is for, and whether its reports arrive here.
  await page.evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'window.inlineRan = true';
    document.body.append(script);
  });
  await until('the report of an inline script', () => wrong.some((text) => text.startsWith('policy: script-src')));
  assert.equal(await page.evaluate(() => window.inlineRan), undefined);
  console.log(`${asked.length} requests and ${frames.length} messages by GraphiQL in ${await browser.version()}`);
} catch (error) {
  failure = error;
  if (values.screenshot) await (await browser.pages()).at(-1)?.screenshot({ path: values.screenshot });
}
await browser.close();
if (failure) {
  console.error(failure);
  for (const text of wrong) console.error(text);
  process.exit(1);
}
