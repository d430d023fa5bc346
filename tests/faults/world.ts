/** Two APIs and two executors over one Redis on a small disk: processes that can be struck. */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { keepRunning, type Child } from '../../infra/start/child.js';
import { startStack, type Stack } from '../../infra/start/stack.js';
import { STATE_DIR } from '../helpers/boxes.js';
import { createClock, type Clock } from './clock.js';
import { startProxy, type Proxy } from './proxy.js';

export const DISK_BYTES = 1024 * 1024 * 1024;

export interface World {
  readonly stack: Stack;
  readonly urls: readonly string[];
  readonly apis: readonly Child[];
  readonly executors: readonly Child[];
  readonly redis: Redis;
  readonly proxy: Proxy;
  readonly diskDir: string;
  readonly clock: Clock;
  /** The job of each run that was given a box, in their order, from each executor's box log. */
  boxRuns(): readonly (readonly string[])[];
  /** Runs by job. */
  boxStarts(): ReadonlyMap<string, number>;
  log(): string;
  stop(): Promise<void>;
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}

export async function startWorld(slots: number): Promise<World> {
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-faults-'));
  const diskDir = join(directory, 'disk');
  mkdirSync(diskDir);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'faults', diskDir]);
  const logPath = join(directory, 'log');
  const boxLogs = [join(directory, 'boxes-1'), join(directory, 'boxes-2')] as const;
  for (const path of boxLogs) writeFileSync(path, '');
  const clock = createClock(join(directory, 'clock'));
  const output = openSync(logPath, 'a');
  const env = {
    MAYFLY_STATE_DIR: STATE_DIR,
    MAYFLY_BLOB_DIR: join(directory, 'blobs'),
    MAYFLY_CACHE_DIR: join(directory, 'cache'),
    MAYFLY_SLOTS: String(slots),
    MAYFLY_DRAIN_MS: '2500',
    MAYFLY_BOX_LOG: boxLogs[0],
    MAYFLY_LOG_LEVEL: 'warn',
  };
  const report = (): void => undefined;
  const stack = await startStack({
    redisDir: join(diskDir, 'redis'),
    port: 0,
    apiKey: null,
    admin: null,
    env,
    output,
    report,
  });
  const redisSocket = join(diskDir, 'redis', 'redis.sock');
  const proxySocket = join(directory, 'proxy.sock');
  const proxy = await startProxy(proxySocket, redisSocket);
  const port = await freePort();
  const node = (main: string): [string, ...string[]] => [
    process.execPath,
    join(ROOT, 'dist', main),
  ];
  const second = (
    name: string,
    command: [string, ...string[]],
    more: Record<string, string>,
  ): Child =>
    keepRunning({
      name,
      command,
      env: { ...env, PATH, REDIS_URL: `unix://${proxySocket}`, ...more },
      output,
      report,
    });
  const api = second('api-2', node('services/api/main.js'), {
    PORT: String(port),
    MAYFLY_API_KEY: stack.apiKey,
  });
  const executor = second('executor-2', clock.of(node('workers/executor/main.js')), {
    MAYFLY_BOX_LOG: boxLogs[1],
  });
  const redis = new Redis({
    path: redisSocket,
    maxRetriesPerRequest: null,
    retryStrategy: () => 50,
    // Longer than any strike: a Redis that does not come back fails the run.
    commandTimeout: 60_000,
  });
  redis.on('error', () => undefined);
  const boxRuns = (): string[][] =>
    boxLogs.map((path) => {
      const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
      return lines.flatMap((line) => line.split(' ')[0] ?? []).filter((jobId) => jobId !== '');
    });
  return {
    stack,
    urls: [stack.url, `http://127.0.0.1:${port}`],
    apis: [stack.api, api],
    executors: [stack.executor, executor],
    redis,
    proxy,
    diskDir,
    clock,
    boxRuns,
    boxStarts() {
      const starts = new Map<string, number>();
      for (const jobId of boxRuns().flat()) starts.set(jobId, (starts.get(jobId) ?? 0) + 1);
      return starts;
    },
    log: () => readFileSync(logPath, 'utf8'),
    async stop() {
      await Promise.all([api.stop(10_000), executor.stop(20_000)]);
      await stack.stop();
      await proxy.close();
      redis.disconnect();
      closeSync(output);
      execFileSync('umount', ['-l', diskDir]);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
