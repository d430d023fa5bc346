/** Between a process and Redis: replies are let through, or swallowed with the connection cut after. */
import { createConnection, createServer, type Socket } from 'node:net';

export interface Proxy {
  /** Swallows all replies for this long, and cuts every connection then. */
  dropReplies(ms: number): Promise<void>;
  close(): Promise<void>;
}

export async function startProxy(socketPath: string, redisPath: string): Promise<Proxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let dropping = false;
  const server = createServer((client) => {
    const redis = createConnection(redisPath);
    const pair = [client, redis] as const;
    pairs.add(pair);
    const cut = (): void => {
      client.destroy();
      redis.destroy();
      pairs.delete(pair);
    };
    for (const socket of pair) {
      socket.on('error', cut);
      socket.on('close', cut);
    }
    client.pipe(redis);
    redis.on('data', (data) => {
      if (dropping) return;
      if (!client.write(data)) redis.pause();
    });
    client.on('drain', () => redis.resume());
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  const cutAll = (): void => {
    for (const [client, redis] of [...pairs]) {
      client.destroy();
      redis.destroy();
    }
  };
  return {
    async dropReplies(ms) {
      dropping = true;
      await new Promise((resolve) => setTimeout(resolve, ms));
      dropping = false;
      cutAll();
    },
    async close() {
      cutAll();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
