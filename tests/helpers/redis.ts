/** A real redis-server of the test's own: on a Unix socket in a temporary directory, gone afterwards. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';

export interface TestRedis {
  readonly url: string;
  readonly socketPath: string;
  /** A connection for the test itself. */
  readonly client: Redis;
  /** SIGKILL, as a crash would. */
  kill(): Promise<void>;
  /** Started again over the same append-only file. */
  restart(): Promise<void>;
  /** SIGSTOP and SIGCONT. */
  freeze(): void;
  thaw(): void;
  stop(): Promise<void>;
}

async function answers(socketPath: string): Promise<void> {
  const probe = new Redis({
    path: socketPath,
    maxRetriesPerRequest: null,
    retryStrategy: () => 10,
  });
  probe.on('error', () => undefined);
  try {
    await probe.ping();
  } finally {
    probe.disconnect();
  }
}

/** Outlives a test process that is killed, or a teardown that throws, by as long as it takes to clean up. */
function startWatchdog(directory: string) {
  const cleanUp = 'cat >/dev/null; [ -f "$0/pid" ] && kill -9 "$(cat "$0/pid")"; rm -rf "$0"';
  return spawn('sh', ['-c', cleanUp, directory], { stdio: ['pipe', 'ignore', 'ignore'] });
}

export async function startRedis(extra: readonly string[] = []): Promise<TestRedis> {
  const directory = await mkdtemp(join(tmpdir(), 'mayfly-redis-'));
  const socketPath = join(directory, 'redis.sock');
  let child: ChildProcess;

  async function start(): Promise<void> {
    // prettier-ignore
    child = spawn('redis-server', [
      '--port', '0', '--pidfile', join(directory, 'pid'), '--unixsocket', socketPath, '--unixsocketperm', '700', '--dir', directory,
      '--save', '', '--appendonly', 'yes', '--appendfsync', 'always',
      '--maxmemory-policy', 'noeviction', ...extra,
    ], { stdio: 'ignore' });
    await answers(socketPath);
  }

  async function kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
    // Its number may be another process's soon.
    await rm(join(directory, 'pid'), { force: true });
  }

  const watchdog = startWatchdog(directory);
  await start();
  const client = new Redis({
    path: socketPath,
    maxRetriesPerRequest: null,
    retryStrategy: () => 20,
  });
  client.on('error', () => undefined);
  return {
    url: `unix://${socketPath}`,
    socketPath,
    client,
    kill: () => kill(),
    restart: start,
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    async stop() {
      client.disconnect();
      child.kill('SIGCONT');
      await kill();
      await rm(directory, { recursive: true, force: true });
      watchdog.stdin.end();
    },
  };
}
