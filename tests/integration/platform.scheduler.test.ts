import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { newJobId, taskIdOf } from '../../services/contract/ids.js';
import { DEFAULT_CELL, DEFAULT_POOL } from '../../services/platform/keys.js';
import { createScheduler, type Scheduler } from '../../services/platform/scheduler.js';
import type { Delivery } from '../../services/platform/script-replies.js';
import { readBooks } from '../helpers/books.js';
import { startRedis, type TestRedis } from '../helpers/redis.js';

const FAULT = { stage: 'test', errno: 5, detail: 'made up', retryable: true };

let redis: TestRedis;
let scheduler: Scheduler;

beforeAll(async () => {
  redis = await startRedis(['--appendonly', 'no']);
  scheduler = createScheduler({ redis: redis.client, cell: DEFAULT_CELL });
});
afterAll(() => redis.stop());
beforeEach(() => redis.client.flushall());

async function submit(tenantId: string, more: { priority?: number; cpus?: number } = {}) {
  const jobId: string = newJobId();
  const ids = { jobId, taskId: taskIdOf(jobId, 1) as string, tenantId };
  const reply = await scheduler.submit({
    jobId,
    tenantId,
    pools: [DEFAULT_POOL],
    priority: more.priority ?? 5,
    cpus: more.cpus ?? 1,
    channel: 'test-replies',
    language: 'python',
    image: 'base',
    metadata: '{}',
    spec: '{}',
  });
  return { ...ids, admitted: reply.status === 'ok' ? reply.admitted : [], status: reply.status };
}

function announce(slots: number, executorId = 'e1') {
  return scheduler.announce({ executorId, pool: DEFAULT_POOL, slots, ttlMs: 60_000, running: [] });
}

async function claim(delivery: Delivery, runToken = randomUUID() as string) {
  return { runToken, reply: await scheduler.claim(delivery, runToken, 'e1') };
}

function only<T>(items: readonly T[]): T {
  expect(items).toHaveLength(1);
  return items[0] as T;
}

const recordOf = ({ pool, taskId, admission }: Delivery): string =>
  `{c0}:run-${pool}:${taskId}.${admission}`;

/** As the executor hears it. */
async function turnOf(delivery: Delivery): Promise<number> {
  const data: unknown = JSON.parse((await redis.client.hget(recordOf(delivery), 'data')) ?? '');
  return z.object({ turn: z.number() }).parse(data).turn;
}

describe('admission', () => {
  it('keeps in flight what the live executors have slots for', async () => {
    for (let i = 0; i < 5; i += 1) expect((await submit('a')).admitted).toEqual([]);
    expect((await announce(2)).admitted).toHaveLength(2);
    expect((await announce(1, 'e2')).admitted).toHaveLength(1);
    expect((await announce(0)).admitted).toHaveLength(0);
    expect((await readBooks(redis.client)).window).toBe(1);
  });

  it('gives a short task ahead of its slot, and never beside a long one', async () => {
    const announceAhead = async (): Promise<number> => {
      const at = { executorId: 'e1', pool: DEFAULT_POOL, slots: 1, ahead: 1, ttlMs: 60_000 };
      return (await scheduler.announce({ ...at, running: [] })).admitted.length;
    };
    await redis.client.hset('{c0}:tenant:short', { est: 20 });
    await redis.client.hset('{c0}:tenant:long', { est: 2_000 });
    const long = await submit('long');
    expect(await announceAhead()).toBe(1);
    const short = await Promise.all([submit('short'), submit('short'), submit('short')]);
    expect(short.flatMap(({ admitted }) => admitted)).toEqual([]);
    const ended = await scheduler.cancel(long.jobId, 'long');
    const next = new Set(ended.admitted.map(({ taskId }) => taskId));
    expect(next).toEqual(new Set(short.slice(0, 2).map(({ taskId }) => taskId)));
    expect(await announceAhead()).toBe(0);
    expect((await readBooks(redis.client)).window).toBe(1);
  });

  it('gives nothing ahead to a tenant of whom nothing is known', async () => {
    for (let i = 0; i < 3; i += 1) await submit('new');
    const at = { executorId: 'e1', pool: DEFAULT_POOL, slots: 1, ahead: 1, ttlMs: 60_000 };
    expect((await scheduler.announce({ ...at, running: [] })).admitted).toHaveLength(1);
  });

  it('lets a tenant of which nothing is in flight pass those given ahead', async () => {
    for (const name of ['a', 'b', 'c']) {
      await redis.client.hset(`{c0}:tenant:${name}`, { est: 20 });
    }
    for (let i = 0; i < 6; i += 1) await submit('a');
    const at = { executorId: 'e1', pool: DEFAULT_POOL, slots: 2, ahead: 1, ttlMs: 60_000 };
    const { admitted } = await scheduler.announce({ ...at, running: [] });
    const [first, second, ahead] = admitted;
    if (first === undefined || second === undefined || ahead === undefined) {
      throw new Error(`only ${admitted.length} were admitted`);
    }
    for (const delivery of [first, second]) await claim(delivery);
    const newcomer = only((await submit('b')).admitted);
    expect(await turnOf(newcomer)).toBeLessThan(await turnOf(ahead));
    // One place is all that this executor has for such tenants, and the same one's second is none.
    expect((await submit('b')).admitted).toEqual([]);
    expect((await submit('c')).admitted).toEqual([]);
    expect((await readBooks(redis.client)).inflight.size).toBe(4);
    // What was lost on the way comes with the same turn again.
    const turn = await turnOf(newcomer);
    await redis.client.del(recordOf(newcomer));
    expect(await scheduler.reconcile()).toEqual([newcomer]);
    expect(await turnOf(newcomer)).toBe(turn);
  });

  it('counts the places of tenants of which nothing is in flight', async () => {
    const names = Array.from({ length: 9 }, (_, i) => `crowd-${i}`);
    for (const name of ['a', ...names]) await redis.client.hset(`{c0}:tenant:${name}`, { est: 20 });
    for (let i = 0; i < 6; i += 1) await submit('a');
    const at = { executorId: 'e1', pool: DEFAULT_POOL, slots: 2, ahead: 2, ttlMs: 60_000 };
    await scheduler.announce({ ...at, running: [] });
    const admitted = await Promise.all(names.map(async (name) => (await submit(name)).admitted));
    expect(admitted.flat()).toHaveLength(2);
  });

  it('forgets an executor that has stopped announcing', async () => {
    await scheduler.announce({
      executorId: 'x',
      pool: DEFAULT_POOL,
      slots: 4,
      ttlMs: 1,
      running: [],
    });
    await new Promise((resolve) => setTimeout(resolve, 5));
    await scheduler.reconcile();
    expect((await readBooks(redis.client)).window).toBe(0);
  });

  it('takes the highest priority of a tenant first, and the oldest of those', async () => {
    const [low, high, high2] = [
      await submit('a', { priority: 0 }),
      await submit('a', { priority: 9 }),
      await submit('a', { priority: 9 }),
    ];
    const { admitted } = await announce(3);
    expect(admitted.map(({ taskId }) => taskId)).toEqual([high.taskId, high2.taskId, low.taskId]);
  });

  it('gives the next slot to a tenant that comes into the flood of another', async () => {
    await announce(1);
    const flood = [];
    for (let i = 0; i < 50; i += 1) flood.push(await submit('a'));
    const small = await submit('b');
    const first = only(flood.flatMap(({ admitted }) => admitted));
    const { runToken } = await claim(first);
    const job = flood.find(({ taskId }) => taskId === first.taskId);
    const settled = await scheduler.settle(
      { jobId: job?.jobId ?? '', taskId: first.taskId, runToken },
      'finished',
      null,
    );
    expect(settled.admitted.map(({ taskId }) => taskId)).toEqual([small.taskId]);
  });

  it('does not let a tenant save up by being away', async () => {
    await redis.client.set('{c0}:vmin', '5000');
    await submit('a');
    const ready = only((await readBooks(redis.client)).ready);
    expect(ready).toEqual({ tenant: 'a', score: 5_000 });
    expect((await readBooks(redis.client)).vr.get('a') ?? 0).toBe(0);
    await announce(1);
    expect((await readBooks(redis.client)).vr.get('a')).toBe(5_100);
  });

  it("keeps to a tenant's own cap, and to the length of its backlog", async () => {
    await redis.client.hset('{c0}:tenant:a', { runningMax: 1, queuedMax: 2 });
    await announce(4);
    expect((await submit('a')).admitted).toHaveLength(1);
    expect((await submit('a')).admitted).toHaveLength(0);
    expect((await submit('a')).status).toBe('ok');
    expect((await submit('a')).status).toBe('full');
  });

  it('charges slot time by CPUs and weight, and lets the estimate learn', async () => {
    await redis.client.hset('{c0}:tenant:a', { weight: 2 });
    await announce(1);
    const job = await submit('a', { cpus: 2 });
    expect((await readBooks(redis.client)).vr.get('a')).toBe(50);
    const { runToken } = await claim(only(job.admitted));
    await new Promise((resolve) => setTimeout(resolve, 45));
    await scheduler.settle({ ...job, runToken }, 'finished', null);
    const vr = (await readBooks(redis.client)).vr.get('a') ?? 0;
    const slotMs = Number(await redis.client.hget('{c0}:tenant:a', 'slotMs'));
    expect(slotMs).toBeGreaterThanOrEqual(80);
    expect(vr).toBeCloseTo(slotMs / 2, 1);
    expect(Number(await redis.client.hget('{c0}:tenant:a', 'est'))).toBeCloseTo(
      90 + slotMs / 10,
      1,
    );
  });
});

describe('a run', () => {
  it('belongs to whoever claimed it last; a late writer writes nothing', async () => {
    await announce(1);
    const job = await submit('a');
    const delivery = only(job.admitted);
    const old = await claim(delivery);
    const fresh = await claim(delivery);
    expect([old.reply, fresh.reply]).toMatchObject([
      { status: 'go', run: 1 },
      { status: 'go', run: 2 },
    ]);
    const late = await scheduler.settle({ ...job, runToken: old.runToken }, 'finished', null);
    expect(late.status).toBe('fenced');
    const lateFault = await scheduler.requeue({ ...job, runToken: old.runToken, run: 1 }, FAULT, {
      excused: false,
      work: null,
    });
    expect(lateFault.status).toBe('fenced');
    expect(await redis.client.hget(`{c0}:job:${job.jobId}`, 'status')).toBe('running');
    const held = [{ taskId: job.taskId, runToken: old.runToken }];
    const beat = { executorId: 'e1', pool: DEFAULT_POOL, slots: 1, ttlMs: 1_000, running: held };
    expect((await scheduler.announce(beat)).stop).toEqual([
      { runToken: old.runToken, reason: 'fenced' },
    ]);
    const end = await scheduler.settle({ ...job, runToken: fresh.runToken }, 'finished', null);
    expect(end.status).toBe('ok');
  });

  it('ends once: the same end told twice is heard once, another is fenced', async () => {
    await announce(1);
    const job = await submit('a');
    const { runToken } = await claim(only(job.admitted));
    const subscriber = redis.client.duplicate();
    const heard: (string | undefined)[] = [];
    subscriber.on('message', (_channel: string, message: string) =>
      heard.push(message.split(' ')[0]),
    );
    await subscriber.subscribe('test-replies');
    expect((await scheduler.settle({ ...job, runToken }, 'finished', null)).status).toBe('ok');
    expect((await scheduler.settle({ ...job, runToken }, 'cancelled', null)).status).toBe('ok');
    const other = await scheduler.settle({ ...job, runToken: 'x' }, 'finished', null);
    expect(other.status).toBe('fenced');
    expect(await redis.client.hget(`{c0}:job:${job.jobId}`, 'status')).toBe('finished');
    await subscriber.ping();
    expect(heard).toEqual([job.jobId]);
    subscriber.disconnect();
  });

  it('is not claimed by a stale admission, nor after the end, nor of a task that is gone', async () => {
    await announce(1);
    const job = await submit('a');
    const delivery = only(job.admitted);
    const stale = { ...delivery, admission: 7 };
    expect((await claim(stale)).reply.status).toBe('stale');
    expect((await claim({ ...delivery, taskId: taskIdOf(newJobId(), 1) })).reply.status).toBe(
      'gone',
    );
    const { runToken } = await claim(delivery);
    const work = { excused: true, work: null };
    const back = await scheduler.requeue({ ...job, runToken, run: 1 }, FAULT, work);
    expect(back.status).toBe('queued');
    expect(only(back.admitted)).toMatchObject({ taskId: job.taskId, admission: 2 });
    expect((await claim(delivery)).reply.status).toBe('stale');
    const again = await claim(only(back.admitted));
    await scheduler.settle({ ...job, runToken: again.runToken }, 'finished', null);
    expect((await claim(only(back.admitted))).reply.status).toBe('ended');
  });

  it('counts once when the claim is told twice', async () => {
    await announce(1);
    const delivery = only((await submit('a')).admitted);
    expect((await claim(delivery, 'same')).reply).toMatchObject({ status: 'go', run: 1 });
    expect((await claim(delivery, 'same')).reply).toMatchObject({ status: 'go', run: 1 });
  });

  it('that was lost four times is given up with its stage', async () => {
    await announce(1);
    const job = await submit('a');
    const delivery = only(job.admitted);
    for (let i = 0; i < 4; i += 1) expect((await claim(delivery)).reply.status).toBe('go');
    expect((await claim(delivery)).reply.status).toBe('ended');
    const record = await redis.client.hgetall(`{c0}:job:${job.jobId}`);
    expect(record.status).toBe('failed');
    expect(JSON.parse(record.problem ?? '')).toMatchObject({ stage: 'lost' });
  });
});

describe('cancelling', () => {
  it('of an admitted task gives its slot and its charge back', async () => {
    await announce(1);
    const first = await submit('a');
    const second = await submit('a');
    const reply = await scheduler.cancel(first.jobId, 'a');
    expect(reply.status).toBe('cancelled');
    expect(only(reply.admitted).taskId).toBe(second.taskId);
    expect((await claim(only(first.admitted))).reply.status).toBe('ended');
    expect((await readBooks(redis.client)).vr.get('a')).toBe(100);
  });

  it('of a running task is heard by whoever runs it next, too', async () => {
    await announce(1);
    const job = await submit('a');
    const delivery = only(job.admitted);
    const { runToken } = await claim(delivery);
    expect((await scheduler.cancel(job.jobId, 'a')).status).toBe('cancelling');
    const held = [{ taskId: job.taskId, runToken }];
    const beat = { executorId: 'e1', pool: DEFAULT_POOL, slots: 1, ttlMs: 1_000, running: held };
    expect((await scheduler.announce(beat)).stop).toEqual([{ runToken, reason: 'cancel' }]);
    expect((await claim(delivery)).reply.status).toBe('ended');
    expect(await redis.client.hget(`{c0}:job:${job.jobId}`, 'status')).toBe('cancelled');
  });
});
