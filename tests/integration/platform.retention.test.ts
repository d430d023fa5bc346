/** What is kept of ended jobs, what is billed, what is refused early, and where a job's image is served. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { TaskWork } from '../../services/contract/task.js';
import { readBooks, violations } from '../helpers/books.js';
import { stepResult } from '../helpers/fake-executor.js';
import { startRedis, type TestRedis } from '../helpers/redis.js';
import { createSchedule, FAULT, workWith, type Schedule } from '../helpers/schedule.js';

let redis: TestRedis;
let schedule: Schedule;

beforeAll(async () => {
  redis = await startRedis(['--appendonly', 'no']);
  schedule = createSchedule(redis.client);
});
afterAll(() => redis.stop());
beforeEach(() => redis.client.flushall());

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** One job from its coming to its end. */
async function runJob(tenant: string, work: TaskWork | null = null): Promise<string> {
  const { jobId, admitted } = await schedule.submit(tenant);
  const [delivery] = admitted;
  if (delivery === undefined) throw new Error('not admitted');
  await schedule.scheduler.settle(await schedule.start(delivery), 'finished', work);
  return jobId;
}

async function jobsOf(tenant: string) {
  const listed = await redis.client.zrange(`{c0}:jobs:${tenant}`, '0', '-1');
  const there = (await redis.client.keys('{c0}:job:*')).map((key) => key.slice('{c0}:job:'.length));
  return { listed: listed.sort(), there: there.sort() };
}

describe('what is kept', () => {
  it('is as many ended jobs as the plan says, the youngest; what waits or runs is not counted', async () => {
    await redis.client.hset('{c0}:tenant:a', { jobsKept: 3 });
    await schedule.announce(1);
    const ended = [];
    for (let i = 0; i < 5; i += 1) ended.push(await runJob('a', workWith()));
    const waiting = [(await schedule.submit('a')).jobId, (await schedule.submit('a')).jobId];
    const expected = [...ended.slice(2), ...waiting].sort();
    expect(await jobsOf('a')).toEqual({ listed: expected, there: expected });
    const results = await redis.client.keys('{c0}:result:*');
    expect(results).toHaveLength(3);
    expect(violations(await readBooks(redis.client))).toEqual([]);
  });

  it('is as many bytes as the plan says, but always what has just ended', async () => {
    await redis.client.hset('{c0}:tenant:a', { bytesKept: 10_000 });
    await schedule.announce(1);
    const large = { ...workWith(), run: stepResult('x'.repeat(6_000)) };
    await runJob('a', large);
    const second = await runJob('a', large);
    expect((await jobsOf('a')).there).toEqual([second]);
    const huge = await runJob('a', { ...workWith(), run: stepResult('x'.repeat(20_000)) });
    expect((await jobsOf('a')).there).toEqual([huge]);
    const bytes = Number(await redis.client.get('{c0}:kept-bytes:a'));
    expect(bytes).toBeGreaterThan(20_000);
    expect(bytes).toBeLessThan(24_000);
  });

  it('goes when it is old, from the lists, too, also of a tenant that is idle', async () => {
    await redis.client.hset('{c0}:tenant:a', { retentionMs: 30 });
    await schedule.announce(1);
    await runJob('a');
    const other = await runJob('b');
    await sleep(40);
    await schedule.scheduler.reconcile();
    expect(await jobsOf('a')).toEqual({ listed: [], there: [other] });
    expect(await redis.client.keys('{c0}:kept*:a')).toEqual([]);
    expect(await redis.client.zrange('{c0}:sweeps', '0', '-1')).toEqual(['b']);
    expect(await redis.client.pttl(`{c0}:job:${other}`)).toBeGreaterThan(3_000_000);
  });
});

describe('the account', () => {
  const today = () => `{c0}:usage:a:${Math.floor(Date.now() / 86_400_000)}`;

  it('has the jobs that ended, their CPU time, slot time and memory by time', async () => {
    await schedule.announce(1);
    const step = stepResult('');
    const usage = { ...step.usage, cpuTimeMs: 12.5, memoryBytesPeak: 1_000, wallTimeMs: 20 };
    await runJob('a', { ...workWith(), compile: { ...step, usage }, run: { ...step, usage } });
    await runJob('a');
    const account = await redis.client.hgetall(today());
    expect(account).toMatchObject({ jobs: '2', cpuMs: '25', memoryByteMs: '40000' });
    expect(Number(account.slotMs)).toBeGreaterThan(0);
    expect(await redis.client.pttl(today())).toBeGreaterThan(0);
  });

  it('has slot time of runs that came to nothing, and no CPU time of them', async () => {
    await schedule.announce(1);
    const { admitted } = await schedule.submit('a');
    const [delivery] = admitted;
    if (delivery === undefined) throw new Error('not admitted');
    const run = await schedule.start(delivery);
    const work = { ...workWith(), run: stepResult('') };
    await schedule.scheduler.requeue(run, FAULT, { excused: false, work });
    const account = await redis.client.hgetall(today());
    expect(Object.keys(account)).toEqual(['slotMs']);
  });
});

describe('a tenant that has too much waiting', () => {
  it('is refused by bytes, and let in again when something has ended', async () => {
    await redis.client.hset('{c0}:tenant:a', { queuedBytesMax: 5 });
    const first = await schedule.submit('a');
    await schedule.submit('a');
    expect((await schedule.submit('a')).status).toBe('full');
    expect((await schedule.submit('b')).status).toBe('ok');
    await schedule.scheduler.cancel(first.jobId, 'a');
    expect((await schedule.submit('a')).status).toBe('ok');
  });
});

describe('pools', () => {
  function announce(executorId: string, pool: string, images: readonly string[], ttlMs = 60_000) {
    const executor = { executorId, pool, images, slots: 1, ttlMs, running: [] };
    return schedule.scheduler.announce(executor);
  }

  async function poolOf(pools: readonly string[]): Promise<string | null> {
    const { jobId, status } = await schedule.submit('a', { pools });
    return status === 'ok' ? await redis.client.hget(`{c0}:job:${jobId}`, 'pool') : null;
  }

  it('take the jobs whose image all of their executors have, in the order of the plan', async () => {
    await announce('e1', 'small', ['other']);
    await announce('e2', 'large', ['base', 'other']);
    expect(await poolOf(['small', 'large'])).toBe('large');
    expect(await poolOf(['large', 'small'])).toBe('large');
    await announce('e1', 'small', ['other', 'base']);
    expect(await poolOf(['small', 'large'])).toBe('small');
    // One more executor that lacks it: its worker could be handed the job.
    await announce('e3', 'small', ['other']);
    expect(await poolOf(['small', 'large'])).toBe('large');
  });

  it("are those of the tenant's plan, where it names any", async () => {
    await announce('e1', 'small', ['base']);
    await announce('e2', 'large', ['base']);
    await redis.client.hset('{c0}:tenant:a', { pools: '["large","small"]' });
    expect(await poolOf(['small'])).toBe('large');
  });

  it('refuse an image that none of the allowed ones ever had', async () => {
    await announce('e1', 'small', ['other']);
    await announce('e2', 'large', ['base']);
    expect(await poolOf(['small'])).toBeNull();
    expect(await readBooks(redis.client)).toMatchObject({ jobs: new Map(), states: new Map() });
  });

  it('keep a job waiting where its image was served before, and when nothing is known yet', async () => {
    expect(await poolOf(['small'])).toBe('small');
    await announce('e2', 'large', ['base'], 1);
    await sleep(5);
    await schedule.scheduler.reconcile();
    expect((await readBooks(redis.client)).pools.get('large')?.window).toBe(0);
    expect(await poolOf(['small', 'large'])).toBe('large');
  });

  it('have a queue, a window and a backlog each; a tenant has one virtual runtime over all', async () => {
    await announce('e1', 'small', ['base']);
    await announce('e2', 'large', ['base']);
    const first = await schedule.submit('a', { pools: ['small'] });
    const second = await schedule.submit('a', { pools: ['large'] });
    expect(first.admitted[0]?.pool).toBe('small');
    expect(second.admitted[0]?.pool).toBe('large');
    await schedule.submit('a', { pools: ['small'] });
    const books = await readBooks(redis.client);
    expect(books.pools.get('small')).toMatchObject({ window: 1 });
    expect(books.pools.get('small')?.inflight.size).toBe(1);
    expect(books.vr.get('a')).toBe(200);
    expect(books.running.get('a')).toBe(2);
    expect(books.pools.get('small')?.ready).toEqual([{ tenant: 'a', score: 200 }]);
  });
});
