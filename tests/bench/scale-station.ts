/** One Redis with a number of waiting jobs, and an executor that ends a job whenever it is told to. */
import type { TaskResult } from '../../services/contract/task.js';
import { newJobId } from '../../services/contract/ids.js';
import { createPatientRedis } from '../../services/platform/redis.js';
import { createLogger } from '../../services/platform/logger.js';
import { DEFAULT_CELL, DEFAULT_POOL } from '../../services/platform/keys.js';
import { createScheduler } from '../../services/platform/scheduler.js';
import { encodeSpec } from '../../services/platform/stored-spec.js';
import { finished, startFakeExecutor } from '../helpers/fake-executor.js';
import { echo } from '../helpers/jobs.js';
import { startRedis } from '../helpers/redis.js';
import { Samples } from './samples.js';

const FILL_AT_ONCE = 64;
/** A rewrite of the file forks: its pause belongs to no depth. */
const REDIS_SETTINGS = ['--auto-aof-rewrite-percentage', '0'];

export interface Station {
  readonly queued: number;
  readonly bytesPerJob: number;
  /** Milliseconds of each submission. */
  readonly submits: Samples;
  /** Of Redis' main thread, in what was run and not forgotten. */
  readonly redisCpuMs: () => number;
  /** As many jobs in as through. */
  run(jobs: number): Promise<void>;
  forget(): void;
  stop(): Promise<void>;
}

/** What the tests of the scheduler leave out, a real one has: a spec, and a channel to be told on. */
export function createSubmitter(redisUrl: string, tenants: number) {
  const logger = createLogger('bench', 'silent');
  const redis = createPatientRedis(redisUrl, logger);
  const scheduler = createScheduler({ redis, cell: DEFAULT_CELL });
  const { spec, priority } = echo('hello');
  const text = encodeSpec(spec, { traceparent: null });
  let next = 0;

  async function submit(): Promise<void> {
    next += 1;
    const { status } = await scheduler.submit({
      jobId: newJobId(),
      tenantId: `tenant-${next % tenants}`,
      pools: [DEFAULT_POOL],
      priority,
      cpus: 1,
      channel: '{c0}:replies:bench',
      language: 'python',
      image: spec.image,
      metadata: '{}',
      spec: text,
    });
    if (status !== 'ok') throw new Error(`a submission was answered ${status}`);
  }

  async function fill(jobs: number): Promise<void> {
    let left = jobs;
    const filler = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        await submit();
      }
    };
    await Promise.all(Array.from({ length: FILL_AT_ONCE }, filler));
  }

  /** Slots for whatever comes, and nobody behind them. */
  async function openWindow(): Promise<void> {
    const slots = { slots: 1_000_000, ttlMs: 3_600_000, running: [] };
    await scheduler.announce({ executorId: 'bench', pool: DEFAULT_POOL, ...slots });
  }

  return { submit, fill, openWindow, close: () => redis.disconnect() };
}

/** Runs that wait to be ended, one at a time and in their order. */
function createTurns() {
  const waiting: (() => void)[] = [];
  let wake: () => void = () => undefined;
  return {
    run: (): Promise<void> =>
      new Promise((resolve) => {
        waiting.push(resolve);
        wake();
      }),
    /** Ends the oldest, as soon as there is one. */
    async endOne(): Promise<void> {
      while (waiting.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      waiting.shift()?.();
    },
  };
}

export async function startStation(queued: number, tenants: number): Promise<Station> {
  const redis = await startRedis(REDIS_SETTINGS);
  const submitter = createSubmitter(redis.url, tenants);
  const info = async (section: string, field: string): Promise<number> =>
    Number(new RegExp(`^${field}:([\\d.]+)`, 'm').exec(await redis.client.info(section))?.[1]);
  const memory = () => info('memory', 'used_memory');
  const cpuSeconds = async (): Promise<number> =>
    (await info('cpu', 'used_cpu_user_main_thread')) +
    (await info('cpu', 'used_cpu_sys_main_thread'));

  // Each tenant's own records, and the scripts.
  await submitter.fill(tenants);
  const before = await memory();
  await submitter.fill(Math.max(queued - tenants, tenants));
  const bytesPerJob = ((await memory()) - before) / Math.max(queued - tenants, tenants);
  const turns = createTurns();
  const executor = await startFakeExecutor(
    redis.url,
    async (task): Promise<TaskResult> => {
      await turns.run();
      return finished(task);
    },
    1,
  );
  let submits = new Samples();
  let spentMs = 0;

  return {
    queued,
    bytesPerJob,
    get submits() {
      return submits;
    },
    redisCpuMs: () => spentMs,
    async run(jobs) {
      const since = await cpuSeconds();
      for (let job = 0; job < jobs; job += 1) {
        const askedMs = performance.now();
        await submitter.submit();
        submits.add(performance.now() - askedMs);
        await turns.endOne();
      }
      spentMs += 1_000 * ((await cpuSeconds()) - since);
    },
    forget() {
      submits = new Samples();
      spentMs = 0;
    },
    async stop() {
      const stopped = executor.drain(0);
      submitter.close();
      await stopped;
      await redis.stop();
    },
  };
}
