/** The whole stack as processes, over HTTP, in a temporary directory, for end-to-end tests. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { startStack, type Stack } from '../../infra/start/stack.js';
import { jobSchema, type Job } from '../../services/contract/job.js';
import { SLOWNESS, STATE_DIR } from './boxes.js';

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
  /** As it came over the wire. */
  readonly raw: string;
}

export interface TestStack {
  readonly stack: Stack;
  /**
   * How often each job was reported to have ended, kept apart from all records. Each waiting reader is
   * told as well, so it is a count for jobs that nobody waits for.
   */
  readonly endings: ReadonlyMap<string, number>;
  call(method: string, path: string, body?: unknown): Promise<Answer>;
  submit(job: object, waitSeconds?: number): Promise<Job>;
  get(id: string, waitSeconds?: number): Promise<Job>;
  /** Every line that the processes have logged. */
  log(): string;
  stop(): Promise<void>;
}

export async function startTestStack(
  env: Readonly<Record<string, string>> = {},
  admin: { readonly key: string; readonly port: number } | null = null,
): Promise<TestStack> {
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-e2e-'));
  const logPath = join(directory, 'log');
  const output = openSync(logPath, 'a');
  const log = (): string => readFileSync(logPath, 'utf8');
  let stack: Stack;
  try {
    stack = await startStack({
      redisDir: join(directory, 'redis'),
      port: 0,
      apiKey: null,
      admin,
      env: {
        MAYFLY_STATE_DIR: STATE_DIR,
        MAYFLY_BLOB_DIR: join(directory, 'blobs'),
        MAYFLY_CACHE_DIR: join(directory, 'cache'),
        ...env,
      },
      output,
      report: () => undefined,
      readyWaitMs: 30_000 * SLOWNESS,
    });
  } catch (error) {
    const cause = new Error(log().slice(-4_000), { cause: error });
    rmSync(directory, { recursive: true });
    throw cause;
  }
  const { endings, close } = await keepLedger(join(directory, 'redis', 'redis.sock'));
  const { url, apiKey } = stack;

  async function call(method: string, path: string, body?: unknown): Promise<Answer> {
    const headers = { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' };
    const response = await fetch(`${url}${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: text === '' ? null : JSON.parse(text),
      raw: text,
    };
  }

  async function job(method: string, path: string, body?: object): Promise<Job> {
    const answer = await call(method, path, body);
    if (answer.status > 202) {
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    }
    return jobSchema.parse(answer.body);
  }

  return {
    stack,
    endings,
    call,
    submit: (request, wait = 0) => job('POST', `/v1/jobs?wait=${wait}`, request),
    get: (id, wait = 0) => job('GET', `/v1/jobs/${id}?wait=${wait}`),
    log,
    async stop() {
      close();
      await stack.stop();
      closeSync(output);
      rmSync(directory, { recursive: true });
    },
  };
}

/** Hears every notification of an end, whatever replica it is for. */
async function keepLedger(socketPath: string) {
  const endings = new Map<string, number>();
  const subscriber = new Redis({ path: socketPath, retryStrategy: () => 20 });
  subscriber.on('error', () => undefined);
  subscriber.on('pmessage', (_pattern: string, _channel: string, message: string) => {
    const [jobId] = /^job_[a-z2-7]{26}(?= |$)/.exec(message) ?? [];
    if (jobId !== undefined) endings.set(jobId, (endings.get(jobId) ?? 0) + 1);
  });
  await subscriber.psubscribe('*');
  return { endings, close: () => subscriber.disconnect() };
}
