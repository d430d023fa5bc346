/**
 * A Redis of our own on a Unix socket, so that no port of it can be reached. What it has confirmed is in
 * its append-only file. A lock keeps two of them from writing the same files.
 */
import { mkdirSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { keepRunning, type Child, type ChildOptions } from './child.js';

export interface RedisChild extends Child {
  readonly url: string;
}

/** `flock` exits with it when somebody else has the lock; any number that Redis does not use. */
const LOCKED = 75;
const START_WAIT_MS = 20_000;
const RETRY_MS = 20;

export async function startRedis(
  directory: string,
  options: Pick<ChildOptions, 'env' | 'output' | 'report'>,
): Promise<RedisChild> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const socket = join(directory, 'redis.sock');
  const inUseMessage = `${directory} is used by another Mayfly`;
  if (await ping(socket)) throw new Error(inUseMessage);
  const settings = {
    port: '0',
    unixsocket: socket,
    unixsocketperm: '700',
    dir: directory,
    save: '',
    appendonly: 'yes',
    appendfsync: 'always',
    maxmemory: '512mb',
    'maxmemory-policy': 'noeviction',
    daemonize: 'no',
    loglevel: 'warning',
  };
  const child = keepRunning({
    ...options,
    name: 'redis',
    command: [
      'flock',
      '--nonblock',
      '--no-fork',
      '--conflict-exit-code',
      String(LOCKED),
      join(directory, 'lock'),
      'redis-server',
      ...Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]),
    ],
    finalCodes: [LOCKED],
  });
  const inUse = child.failed.catch(() => {
    throw new Error(inUseMessage);
  });
  try {
    await Promise.race([answers(socket), inUse]);
  } catch (error) {
    await child.stop(1_000);
    throw error;
  }
  return { ...child, url: `unix://${socket}` };
}

/** Resolves when a PING is answered; while it loads its file, Redis answers with an error. */
async function answers(socket: string): Promise<void> {
  const until = Date.now() + START_WAIT_MS;
  while (Date.now() < until) {
    if (await ping(socket)) return;
    await sleep(RETRY_MS);
  }
  throw new Error(`redis did not answer within ${START_WAIT_MS} ms`);
}

function ping(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = createConnection(socket, () => connection.write('PING\r\n'));
    connection.setTimeout(1_000, () => connection.destroy());
    connection.once('data', (reply) => {
      connection.destroy();
      resolve(reply.toString('latin1').startsWith('+PONG'));
    });
    connection.once('error', () => undefined);
    connection.once('close', () => {
      resolve(false);
    });
  });
}
