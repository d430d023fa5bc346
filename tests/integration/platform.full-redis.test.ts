/** A Redis that fills up, by us or by somebody else: nothing that was accepted is lost, and the books balance. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Refusal } from '../../services/platform/errors.js';
import type { TaskSource } from '../../services/platform/task-source.js';
import { readBooks, violations } from '../helpers/books.js';
import { eventually } from '../helpers/eventually.js';
import { createGate, finished, startFakeExecutor } from '../helpers/fake-executor.js';
import { accepted, echo, startReplica, TENANT, type Replica } from '../helpers/jobs.js';
import { startRedis, type TestRedis } from '../helpers/redis.js';

const REDIS_BYTES = 24 * 1024 * 1024;
const FILLER = 'x'.repeat(64 * 1024);

let redis: TestRedis;
let replica: Replica;
let executor: TaskSource | null = null;

beforeEach(async () => {
  redis = await startRedis(['--maxmemory', String(REDIS_BYTES)]);
  replica = await startReplica(redis.url, { reconciles: true, recheckMs: 500 });
});

afterEach(async () => {
  await executor?.drain(0);
  executor = null;
  await replica.close();
  await redis.stop();
});

async function usedShare(): Promise<number> {
  const info = await redis.client.info('memory');
  return Number(/^used_memory:(\d+)/m.exec(info)?.[1]) / REDIS_BYTES;
}

/** The code of the refusal, or null when it was accepted. */
async function codeOf(submission: Promise<unknown>): Promise<string | null> {
  try {
    await submission;
    return null;
  } catch (error) {
    if (error instanceof Refusal) return error.code;
    throw error;
  }
}

async function statusOf(jobId: string): Promise<string | undefined> {
  return (await replica.jobs.get(TENANT, jobId, { waitMs: 0, include: [] }))?.status;
}

async function allFinish(jobIds: readonly string[]): Promise<void> {
  await eventually(async () => {
    const statuses = await Promise.all(jobIds.map(statusOf));
    return statuses.every((status) => status === 'finished');
  }, 30_000);
  await eventually(async () => (await readBooks(redis.client)).inflight.size === 0);
  const books = await readBooks(redis.client);
  expect(violations(books)).toEqual([]);
  expect(books.backlog.size + books.delayed.size).toBe(0);
  expect([...books.running.values()]).toEqual([0]);
}

it(
  'refuses once jobs fill it, drains to nothing, and takes jobs again',
  { timeout: 60_000 },
  async () => {
    const large = accepted({ language: 'python', source: `#${FILLER}`, stdin: 'x' });
    const jobIds: string[] = [];
    let refusal: string | null = null;
    while (refusal === null) {
      refusal = await codeOf(
        replica.jobs.submit(TENANT, large, 0).then(({ id }) => void jobIds.push(id)),
      );
      await replica.memoryGuard.look();
    }
    expect(refusal).toBe('capacity');
    expect(await usedShare()).toBeGreaterThan(0.7);
    expect(jobIds.length).toBeGreaterThan(100);
    executor = await startFakeExecutor(redis.url, (task) => Promise.resolve(finished(task)));
    await allFinish(jobIds);
    await replica.memoryGuard.look();
    const { id } = await replica.jobs.submit(TENANT, echo('again'), 5_000);
    expect(await statusOf(id)).toBe('finished');
  },
);

it(
  'settles what runs while others have filled it, and goes on when it is free',
  { timeout: 60_000 },
  async () => {
    const gate = createGate();
    executor = await startFakeExecutor(redis.url, gate.runner);
    const jobs = await Promise.all(
      Array.from({ length: 20 }, (_, i) => replica.jobs.submit(TENANT, echo(String(i)), 0)),
    );
    await eventually(gate.entered);
    const runs = async () => {
      const statuses = await Promise.all(jobs.map(({ id }) => statusOf(id)));
      return statuses.filter((status) => status === 'running').length;
    };
    await eventually(async () => (await runs()) === 2);
    const fill = async (bytes: number): Promise<void> => {
      for (let i = 0; i < REDIS_BYTES / bytes; i += 1) {
        await redis.client.append('somebody-elses', FILLER.slice(0, bytes));
      }
    };
    for (const bytes of [65_536, 64]) await expect(fill(bytes)).rejects.toThrow('OOM');
    await replica.memoryGuard.look();
    expect(await codeOf(replica.jobs.submit(TENANT, echo('more'), 0))).toBe('capacity');
    gate.open();
    await eventually(async () => (await runs()) === 0);
    const ended = await Promise.all(jobs.map(({ id }) => statusOf(id)));
    expect(ended.filter((status) => status === 'finished').length).toBeGreaterThanOrEqual(2);
    await redis.client.del('somebody-elses');
    await allFinish(jobs.map(({ id }) => id));
  },
);
