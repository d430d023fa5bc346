/** Jobs of many tasks: what comes next, what is dropped, and how the last task ends the job. */
import { controlMessageSchema } from '../../services/contract/control.js';
import type { TestResult } from '../../services/contract/job.js';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Delivery } from '../../services/platform/script-replies.js';
import { readBooks, violations } from '../helpers/books.js';
import { startRedis, type TestRedis } from '../helpers/redis.js';
import { createSchedule, FAULT, slices, workWith, type Schedule } from '../helpers/schedule.js';

const COMPILE = { parts: [{ kind: 'compile' as const }], parallel: 1 };

let redis: TestRedis;
let schedule: Schedule;

beforeAll(async () => {
  redis = await startRedis(['--appendonly', 'no']);
  schedule = createSchedule(redis.client);
});
afterAll(() => redis.stop());
beforeEach(() => redis.client.flushall());

function only<T>(items: readonly T[]): T {
  expect(items).toHaveLength(1);
  return items[0] as T;
}

async function checkBooks() {
  const books = await readBooks(redis.client);
  expect(violations(books)).toEqual([]);
  return books;
}

const job = (jobId: string) => redis.client.hgetall(`{c0}:job:${jobId}`);
const result = (jobId: string) => redis.client.hgetall(`{c0}:result:${jobId}`);

/** A judge job whose compilation is done, with slices of one test each, claimed as far as they go. */
async function startSlices(slots: number, count: number, parallel: number) {
  await schedule.announce(slots);
  const submitted = await schedule.submit('a', { first: COMPILE });
  const compile = await schedule.start(only(submitted.admitted));
  const { admitted } = await schedule.scheduler.settle(compile, 'finished', workWith(), {
    next: { parts: slices(count), parallel },
  });
  const runs = [];
  for (const delivery of admitted) runs.push(await schedule.start(delivery));
  return { jobId: submitted.jobId, runs };
}

function testOf(index: number): TestResult {
  const name = String(index + 1);
  return { index, name, group: null, verdict: 'accepted', points: 1, message: '', run: null };
}

describe('a job of many tasks', () => {
  it('has at most `parallel` of its parts in backlog and in flight, and ends with the last', async () => {
    await schedule.announce(4);
    const { jobId, admitted } = await schedule.submit('a', { first: COMPILE });
    const compile = await schedule.start(only(admitted));
    expect(compile.part).toEqual({ kind: 'compile' });
    let next = (
      await schedule.scheduler.settle(compile, 'finished', workWith(), {
        next: { parts: slices(5), parallel: 2 },
      })
    ).admitted;
    expect(next).toHaveLength(2);
    const seen: unknown[] = [];
    while (next.length > 0) {
      const runs = [];
      for (const delivery of next) runs.push(await schedule.start(delivery));
      next = [];
      for (const run of runs) {
        expect(await job(jobId)).toMatchObject({ status: 'running' });
        seen.push(run.part);
        const from = run.part.kind === 'tests' ? run.part.from : -1;
        const work = workWith({ from, results: [testOf(from)] });
        next.push(...(await schedule.scheduler.settle(run, 'finished', work)).admitted);
        const books = await checkBooks();
        expect(books.inflight.size + books.backlog.size).toBeLessThanOrEqual(2);
      }
    }
    expect(seen).toEqual(slices(5));
    expect(await job(jobId)).toMatchObject({ status: 'finished', boxMs: '6', runs: '1' });
    const stored = await result(jobId);
    expect(Object.keys(stored).sort()).toEqual(
      ['files', 'light', 'stderr', 'stdout', ...[0, 1, 2, 3, 4].map((i) => `tests:${i}`)].sort(),
    );
    expect(stored['tests:3']).toBe(JSON.stringify([testOf(3)]));
    for (const key of [`{c0}:result:${jobId}`, `{c0}:job:${jobId}`]) {
      expect(await redis.client.pttl(key)).toBeGreaterThan(0);
    }
    expect(await redis.client.keys(`{c0}:*:${jobId}:*`)).toEqual([]);
  });

  it('keeps what its parts wrote until it ends, and can be read while it runs', async () => {
    const { jobId, runs } = await startSlices(1, 2, 1);
    expect(await redis.client.pttl(`{c0}:result:${jobId}`)).toBe(-1);
    const work = workWith({ from: 0, results: [testOf(0)] });
    await schedule.scheduler.settle(only(runs), 'finished', work);
    expect((await result(jobId))['tests:0']).toBe(JSON.stringify([testOf(0)]));
    expect(await redis.client.pttl(`{c0}:result:${jobId}`)).toBe(-1);
  });

  it("comes in at the front of its own tenant's backlog, and never before another tenant's turn", async () => {
    await schedule.announce(1);
    const judge = await schedule.submit('a', { first: COMPILE });
    const later = await schedule.submit('a', { priority: 9 });
    const other = await schedule.submit('b');
    const compile = await schedule.start(only(judge.admitted));
    const order: string[] = [];
    let { admitted } = await schedule.scheduler.settle(compile, 'finished', workWith(), {
      next: { parts: slices(2), parallel: 2 },
    });
    while (admitted.length > 0) {
      const run = await schedule.start(only(admitted));
      order.push(run.jobId);
      ({ admitted } = await schedule.scheduler.settle(run, 'finished', null));
    }
    expect(order.indexOf(other.jobId)).toBeLessThan(2);
    expect(order.filter((id) => id !== other.jobId)).toEqual([
      judge.jobId,
      judge.jobId,
      later.jobId,
    ]);
  });

  it('can begin with several parts', async () => {
    await schedule.announce(8);
    const first = { parts: slices(3), parallel: 2 };
    const { jobId, admitted } = await schedule.submit('a', { first });
    expect(admitted).toHaveLength(2);
    const run = await schedule.start(admitted[0] as Delivery);
    const reply = await schedule.scheduler.settle(run, 'finished', null);
    const last = await schedule.start(only(reply.admitted));
    expect(last.part).toEqual(slices(1, 2)[0]);
    await schedule.scheduler.settle(last, 'finished', null);
    await schedule.scheduler.settle(
      await schedule.start(admitted[1] as Delivery),
      'finished',
      null,
    );
    expect(await job(jobId)).toMatchObject({ status: 'finished' });
    await checkBooks();
  });

  it('stops when a task says so: what waits is dropped, what is in flight ends it', async () => {
    const { jobId, runs } = await startSlices(2, 9, 4);
    expect(runs).toHaveLength(2);
    const [first, second] = runs as [(typeof runs)[0], (typeof runs)[0]];
    await schedule.scheduler.settle(first, 'finished', null, { stop: true });
    const books = await checkBooks();
    expect([books.inflight.size, books.backlog.size]).toEqual([1, 0]);
    expect(books.jobs.get(jobId)).toMatchObject({ status: 'running', pending: 0, open: 1 });
    await schedule.scheduler.settle(second, 'finished', null);
    expect(await job(jobId)).toMatchObject({ status: 'finished' });
    await checkBooks();
  });

  it('ends at once when the last thing in flight says stop', async () => {
    const { jobId, runs } = await startSlices(1, 5, 1);
    await schedule.scheduler.settle(only(runs), 'finished', null, { stop: true });
    expect(await job(jobId)).toMatchObject({ status: 'finished' });
    await checkBooks();
  });

  it('that is told its end twice enqueues what comes next once', async () => {
    await schedule.announce(4);
    const { admitted } = await schedule.submit('a', { first: COMPILE });
    const compile = await schedule.start(only(admitted));
    const then = { next: { parts: slices(3), parallel: 3 } };
    await schedule.scheduler.settle(compile, 'finished', null, then);
    expect((await schedule.scheduler.settle(compile, 'finished', null, then)).status).toBe('ok');
    expect((await checkBooks()).inflight.size).toBe(3);
  });
});

describe('one task of many', () => {
  it('that is requeued runs again, and its job goes on', async () => {
    const { jobId, runs } = await startSlices(2, 2, 2);
    const [first, second] = runs as [(typeof runs)[0], (typeof runs)[0]];
    const back = await schedule.scheduler.requeue(first, FAULT, { excused: true, work: null });
    expect(back.status).toBe('queued');
    expect(await job(jobId)).toMatchObject({ status: 'running' });
    await schedule.scheduler.settle(second, 'finished', null);
    const again = await schedule.start(only(back.admitted));
    expect(again).toMatchObject({ run: 2, part: first.part });
    await schedule.scheduler.settle(again, 'finished', null);
    expect(await job(jobId)).toMatchObject({ status: 'finished', runs: '2' });
  });

  it('that fails for good fails the job: the others are dropped or stopped, what finished stays', async () => {
    const { jobId, runs } = await startSlices(2, 9, 3);
    const [first, second] = runs as [(typeof runs)[0], (typeof runs)[0]];
    const fault = { ...FAULT, retryable: false };
    const reply = await schedule.scheduler.requeue(first, fault, { excused: false, work: null });
    expect(reply.status).toBe('failed');
    const books = await checkBooks();
    expect(books.jobs.get(jobId)).toMatchObject({ status: 'running', open: 1, pending: 0 });
    const beat = await schedule.scheduler.announce({
      executorId: 'e1',
      pool: 'default',
      slots: 2,
      ttlMs: 60_000,
      running: [second],
    });
    expect(beat.stop).toEqual([{ runToken: second.runToken, reason: 'cancel' }]);
    const work = workWith({ from: 1, results: [testOf(1)] });
    await schedule.scheduler.settle(second, 'cancelled', work);
    const record = await job(jobId);
    expect(record.status).toBe('failed');
    expect(JSON.parse(record.problem ?? '')).toMatchObject({ stage: 'test' });
    expect(await result(jobId)).toMatchObject({
      'tests:1': JSON.stringify([testOf(1)]),
      light: expect.stringContaining('compile'),
    });
    await checkBooks();
  });

  it('that is lost a fourth time fails the job', async () => {
    const { jobId } = await startSlices(1, 3, 1);
    const books = await readBooks(redis.client);
    const delivery = { pool: 'default', taskId: only([...books.inflight]), admission: 1 };
    for (let i = 0; i < 3; i += 1) await schedule.start(delivery);
    expect((await schedule.claim(delivery)).reply.status).toBe('ended');
    expect(await job(jobId)).toMatchObject({ status: 'failed' });
    expect((await checkBooks()).backlog.size).toBe(0);
  });
});

describe('cancelling a job of many tasks', () => {
  it('drops what waits, stops what runs, and keeps what had finished', async () => {
    const { jobId, runs } = await startSlices(2, 9, 4);
    const subscriber = redis.client.duplicate();
    const told: string[] = [];
    subscriber.on('message', (_channel, message) => {
      const { kind, runToken } = controlMessageSchema.parse(JSON.parse(message));
      if (kind === 'cancel') told.push(runToken);
    });
    await subscriber.subscribe('{c0}:control:e1');
    const next = await schedule.submit('a');
    expect((await schedule.scheduler.cancel(jobId, 'a')).status).toBe('cancelling');
    expect((await checkBooks()).jobs.get(jobId)).toMatchObject({ open: 2, pending: 0 });
    await subscriber.ping();
    expect(told.sort()).toEqual(runs.map(({ runToken }) => runToken).sort());
    subscriber.disconnect();
    const [first, second] = runs as [(typeof runs)[0], (typeof runs)[0]];
    // One was faster than the cancel, and finished: what comes next of it does not.
    const reply = await schedule.scheduler.settle(first, 'finished', workWith(), {
      next: { parts: slices(1), parallel: 1 },
    });
    expect(only(reply.admitted).taskId).toBe(next.taskId);
    await schedule.scheduler.settle(second, 'cancelled', null);
    expect(await job(jobId)).toMatchObject({ status: 'cancelled' });
    expect(Object.keys(await result(jobId))).toContain('light');
    await checkBooks();
  });

  it('before it has started ends it at once', async () => {
    await schedule.announce(1);
    const { jobId, admitted } = await schedule.submit('a', {
      first: { parts: slices(5), parallel: 2 },
    });
    expect((await schedule.scheduler.cancel(jobId, 'a')).status).toBe('cancelled');
    expect(await job(jobId)).toMatchObject({ status: 'cancelled' });
    expect((await schedule.claim(only(admitted))).reply.status).toBe('ended');
    expect((await checkBooks()).inflight.size).toBe(0);
    expect((await schedule.scheduler.cancel(jobId, 'a')).status).toBe('final');
  });
});
