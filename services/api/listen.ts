/** The HTTP server: opens its port, and closes once the answers that are due have been given. */
import { createServer, type RequestListener } from 'node:http';
import { answerUpgrades } from './upgrade.js';
import type { AddressInfo } from 'node:net';

/** How often connections that have become idle are looked for while closing. */
const CLOSE_IDLE_EVERY_MS = 20;

export interface Listening {
  readonly url: string;
  close(): Promise<void>;
}

export async function listen(app: RequestListener, host: string, port: number): Promise<Listening> {
  const server = createServer(app);
  const leaveUpgraded = answerUpgrades(server, app);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const { port: actualPort, family, address } = server.address() as AddressInfo;
  const shownHost = family === 'IPv6' ? `[${address}]` : address;

  function close(): Promise<void> {
    // A client that keeps its connection open would keep the process.
    const timer = setInterval(() => server.closeIdleConnections(), CLOSE_IDLE_EVERY_MS);
    return new Promise((resolve, reject) => {
      leaveUpgraded();
      server.close((error) => {
        clearInterval(timer);
        if (error === undefined) resolve();
        else reject(error);
      });
    });
  }

  return { url: `http://${shownHost}:${actualPort}`, close };
}
