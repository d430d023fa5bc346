/** Redis, API and executor as processes of their own: started in order, stopped in reverse. */
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { CONFIG_EXIT_CODE } from '../../services/platform/config.js';
import { keepRunning, type Child, type ChildOptions } from './child.js';
import { startRedis, type RedisChild } from './redis.js';

export interface StackOptions {
  /** Where Redis keeps its files. */
  readonly redisDir: string;
  /** 0: any free one. */
  readonly port: number;
  /** Null: a fresh one. */
  readonly apiKey: string | null;
  /** Null: no admin API. */
  readonly admin: { readonly key: string; readonly port: number } | null;
  /** Passed on to API and executor, on top of what the stack itself decides. */
  readonly env: Readonly<Record<string, string>>;
  readonly output: ChildOptions['output'];
  readonly report: ChildOptions['report'];
  /** How long the parts may take to get ready. */
  readonly readyWaitMs?: number;
}

export interface Stack {
  readonly url: string;
  readonly apiKey: string;
  readonly admin: { readonly url: string; readonly key: string } | null;
  readonly redis: RedisChild;
  readonly api: Child;
  readonly executor: Child;
  /** Rejects when the stack cannot go on. Never resolves. */
  readonly failed: Promise<never>;
  stop(): Promise<void>;
}

const READY_WAIT_MS = 30_000;
const READY_RETRY_MS = 20;
/** The executor's own deadline for jobs that run is 30 s; then it has to requeue them. */
const STOP_MS = { api: 15_000, executor: 45_000, redis: 15_000 } as const;

export async function startStack(options: StackOptions): Promise<Stack> {
  const { output, report } = options;
  const port = options.port === 0 ? await freePort() : options.port;
  const apiKey = options.apiKey ?? randomBytes(24).toString('base64url');
  const url = `http://${reachable(options.env['HOST'])}:${port}`;
  const admin = await adminOf(options);
  const releases: (() => Promise<void>)[] = [];
  const stop = async (): Promise<void> => {
    for (const release of releases.splice(0).reverse()) await release();
  };
  const own = <C extends Child>(child: C, deadlineMs: number): C => {
    releases.push(() => child.stop(deadlineMs));
    return child;
  };

  try {
    const path =
      options.env['PATH'] ?? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
    const redis = own(
      await startRedis(options.redisDir, { env: { PATH: path }, output, report }),
      STOP_MS.redis,
    );
    const env = { ...options.env, PATH: path, REDIS_URL: redis.url };
    const apiEnv = {
      ...env,
      PORT: String(port),
      MAYFLY_API_KEY: apiKey,
      ...(admin === null
        ? {}
        : { MAYFLY_ADMIN_KEY: admin.key, MAYFLY_ADMIN_PORT: String(admin.port) }),
    };
    const executorEnv = { ...env, ...nextMetricsPort(env) };
    const executor = own(
      keepRunning({
        name: 'executor',
        command: [process.execPath, compiled('workers/executor/main.js')],
        env: executorEnv,
        output,
        report,
        finalCodes: [CONFIG_EXIT_CODE],
      }),
      STOP_MS.executor,
    );
    const api = own(
      keepRunning({
        name: 'api',
        command: [process.execPath, compiled('services/api/main.js')],
        env: apiEnv,
        output,
        report,
        finalCodes: [CONFIG_EXIT_CODE],
      }),
      STOP_MS.api,
    );
    const failed = Promise.race([redis.failed, api.failed, executor.failed]);
    failed.catch(() => undefined);
    await Promise.race([
      ready(url, options.readyWaitMs ?? READY_WAIT_MS),
      failed,
      api.died,
      executor.died,
    ]);
    return { url, apiKey, admin, redis, api, executor, failed, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function adminOf({ admin, env }: StackOptions) {
  if (admin === null) return null;
  const port = admin.port === 0 ? await freePort() : admin.port;
  const url = `http://${reachable(env['MAYFLY_ADMIN_HOST'])}:${port}`;
  return { url, port, key: admin.key };
}

/** Two processes on one host: the executor's metrics are one port above the API's. */
function nextMetricsPort(env: Readonly<Record<string, string>>): Record<string, string> {
  const port = env['MAYFLY_METRICS_PORT'];
  return port === undefined ? {} : { MAYFLY_METRICS_PORT: String(Number(port) + 1) };
}

/** Where we find an API that listens on HOST. */
function reachable(host: string | undefined): string {
  const everywhere = host === undefined || host === '0.0.0.0' || host === '::';
  return everywhere ? '127.0.0.1' : host;
}

/** A compiled entry point, whether this file runs compiled or from source. */
function compiled(main: string): string {
  const here = fileURLToPath(new URL('.', import.meta.url));
  const root = here.replace(/(\/dist)?\/infra\/start\/$/, '');
  return join(root, 'dist', main);
}

async function ready(url: string, waitMs: number): Promise<void> {
  const until = Date.now() + waitMs;
  let last = 'nothing listens';
  while (Date.now() < until) {
    try {
      const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2_000) });
      last = await response.text();
      if (response.ok) return;
    } catch {
      // Not listening yet: `last` says what was seen before.
    }
    await sleep(READY_RETRY_MS);
  }
  throw new Error(`not ready within ${waitMs / 1_000} s: ${last.slice(0, 500)}`);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}
