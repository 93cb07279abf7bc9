// A TCP proxy that cuts its connections at random: after some bytes towards the client, or after some time.
import net from 'node:net';

export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** Listens on a free port of 127.0.0.1; `cuts` counts, `stop()` ends it. */
export async function faultproxy(target, next) {
  const between = (low, high) => Math.floor(low + next() * (high - low));
  const open = new Set();
  const proxy = { cuts: 0 };
  const server = net.createServer((near) => {
    const far = net.connect(Number(target.port || 80), target.hostname);
    let left = between(300, 6_000);
    const end = () => {
      clearTimeout(timer);
      open.delete(near);
      near.destroy();
      far.destroy();
    };
    const cut = () => {
      proxy.cuts += 1;
      // A reset loses what is under way; an orderly end does not.
      if (next() < 0.5) near.resetAndDestroy();
      end();
    };
    const timer = setTimeout(cut, between(30, 800));
    open.add(near);
    near.on('data', (bytes) => far.write(bytes));
    far.on('data', (bytes) => {
      near.write(left < bytes.length ? bytes.subarray(0, left) : bytes);
      left -= bytes.length;
      if (left <= 0) cut();
    });
    for (const socket of [near, far]) {
      socket.setNoDelay(true);
      socket.on('error', end);
      socket.on('close', end);
    }
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  proxy.port = server.address().port;
  proxy.stop = () => {
    server.close();
    for (const socket of open) socket.destroy();
  };
  return proxy;
}
