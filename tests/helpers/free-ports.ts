/** Ports on loopback that nobody listens on: the first of `count` in a row. */
import { createServer } from 'node:net';

function tryListen(port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      const found = address !== null && typeof address === 'object' ? address.port : null;
      server.close(() => resolve(found));
    });
  });
}

export async function freePorts(count: number): Promise<number> {
  for (let tries = 0; tries < 50; tries += 1) {
    const first = await tryListen(0);
    if (first === null || first + count > 65_535) continue;
    let free = true;
    for (let next = 1; next < count; next += 1) free &&= (await tryListen(first + next)) !== null;
    if (free) return first;
  }
  throw new Error('no free ports in a row');
}
