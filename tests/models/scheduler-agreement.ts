/** Random moves on the scripts and on the reference model: they have to say and to hold the same. */
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { expect } from 'vitest';
import type { TaskPart } from '../../services/contract/task.js';
import type { Delivery } from '../../services/platform/script-replies.js';
import { readBooks, violations } from '../helpers/books.js';
import type { TestRedis } from '../helpers/redis.js';
import { createSchedule, FAULT, slices, type Schedule } from '../helpers/schedule.js';
import { SchedulerModel, type ModelTask } from './scheduler-model.js';

const TENANTS = ['a', 'b', 'c'];
const POOLS = ['default', 'large'];
const JOBS_KEPT = 5;

const pick = fc.nat(50);
const move = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('submit' as const),
      tenant: fc.constantFrom(...TENANTS),
      pool: fc.constantFrom('default', 'default', 'large'),
      priority: fc.nat(9),
      cpus: fc.constantFrom(1, 1, 2),
      parts: fc.constantFrom(0, 0, 0, 1, 4),
      parallel: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('slots' as const),
      pool: fc.constantFrom(...POOLS),
      executor: fc.constantFrom('e1', 'e2'),
      slots: fc.nat(3),
      ahead: fc.constantFrom(0, 1, 2),
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('claim' as const), pick }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('settle' as const),
      pick,
      status: fc.constantFrom('finished' as const, 'finished' as const, 'cancelled' as const),
      next: fc.constantFrom(0, 0, 3),
      parallel: fc.integer({ min: 1, max: 3 }),
      stop: fc.constantFrom(false, false, false, true),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('requeue' as const),
      pick,
      excused: fc.boolean(),
      retryable: fc.constantFrom(true, true, true, false),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom('cancel', 'due', 'late', 'stale', 'reconcile', 'again'),
      pick,
    }),
  },
);

type Move = typeof move extends fc.Arbitrary<infer T> ? T : never;

const text = ({ pool, taskId, admission }: Delivery): string => `${pool} ${taskId}.${admission}`;
const partText = (part: TaskPart): string => (part.kind === 'whole' ? '' : JSON.stringify(part));

async function createPair(
  redis: TestRedis,
  schedule: Schedule,
  weights: readonly number[],
  runningMax: number,
) {
  await redis.client.flushall();
  const plans = TENANTS.map((name, i) => ({
    name,
    weight: weights[i] ?? 1,
    runningMax: name === 'a' ? runningMax : 1e9,
    queuedMax: 8,
    jobsKept: JOBS_KEPT,
  }));
  for (const { name, ...plan } of plans) await redis.client.hset(`{c0}:tenant:${name}`, plan);
  const model = new SchedulerModel(plans);
  const oldTokens: { readonly task: ModelTask; readonly token: string }[] = [];
  let spent = new Map<string, number>();

  /** What the last move cost this tenant, by the records. */
  async function costOf(tenant: string): Promise<number> {
    const now = Number((await redis.client.hget(`{c0}:tenant:${tenant}`, 'slotMs')) ?? 0);
    const cost = now - (spent.get(tenant) ?? 0);
    spent = new Map(spent).set(tenant, now);
    return cost;
  }

  function choose(index: number, ...states: ModelTask['state'][]): ModelTask | null {
    const fitting = model.tasks().filter(({ state }) => states.includes(state));
    return fitting[index % Math.max(1, fitting.length)] ?? null;
  }

  const deliveryOf = (task: ModelTask): Delivery => ({
    pool: task.job.pool,
    taskId: task.id,
    admission: task.admission,
  });
  const holderOf = (task: ModelTask) => ({
    jobId: task.job.id,
    taskId: task.id,
    runToken: task.token ?? '',
    run: task.runs,
  });

  async function submit(next: Move & { kind: 'submit' }): Promise<void> {
    const { parts: count, parallel, tenant, pool, priority, cpus } = next;
    const parts = count === 0 ? [{ kind: 'whole' as const }] : slices(count);
    const reply = await schedule.submit(tenant, {
      pools: [pool],
      priority,
      cpus,
      first: { parts, parallel },
    });
    model.poolOrder = await redis.client.smembers('{c0}:pools');
    const job = { id: reply.jobId, tenant, pool, priority, cpus, parallel };
    const expected = model.submit({ ...job, parts: parts.map(partText) });
    expect(reply.status).toBe(expected.status);
    expect(reply.admitted.map(text)).toEqual(expected.admitted);
  }

  async function claim(task: ModelTask): Promise<void> {
    const token = randomUUID();
    if (task.token !== null) oldTokens.push({ task, token: task.token });
    const { reply } = await schedule.claim(deliveryOf(task), token);
    const expected = model.claim(task, token, await costOf(task.job.tenant));
    expect(reply.status).toBe(expected.status);
    if (reply.status !== 'go') {
      expect(reply.admitted.map(text)).toEqual(expected.admitted);
      return;
    }
    expect(reply).toMatchObject({ run: task.runs, jobId: task.job.id, tenantId: task.job.tenant });
    expect(partText(reply.part)).toBe(task.part);
  }

  async function settle(task: ModelTask, next: Move & { kind: 'settle' }): Promise<void> {
    const parts = next.status === 'finished' ? slices(next.next) : [];
    const { parallel, stop } = next;
    const then = { ...(parts.length > 0 ? { next: { parts, parallel } } : {}), stop };
    const reply = await schedule.scheduler.settle(holderOf(task), next.status, null, then);
    expect(reply.status).toBe('ok');
    const cost = await costOf(task.job.tenant);
    const expected = model.settle(
      task,
      next.status,
      { parts: parts.map(partText), parallel, stop },
      cost,
    );
    expect(reply.admitted.map(text)).toEqual(expected);
  }

  async function requeue(task: ModelTask, next: Move & { kind: 'requeue' }): Promise<void> {
    const { excused, retryable } = next;
    const holder = holderOf(task);
    oldTokens.push({ task, token: holder.runToken });
    const how = { excused, work: null };
    const reply = await schedule.scheduler.requeue(holder, { ...FAULT, retryable }, how);
    // Due when the test says so, and not when some milliseconds are over.
    for (const pool of POOLS) {
      const delayed = await redis.client.zrange(`{c0}:delayed:${pool}`, '0', '-1');
      for (const id of delayed) await redis.client.zadd(`{c0}:delayed:${pool}`, '1e15', id);
    }
    const expected = model.requeue(task, { excused, retryable }, await costOf(task.job.tenant));
    expect(reply.status).toBe(expected.status);
    expect(reply.admitted.map(text)).toEqual(expected.admitted);
  }

  async function cancel(index: number): Promise<void> {
    const job = model.jobs[index % Math.max(1, model.jobs.length)];
    if (job === undefined) return;
    const stranger = TENANTS.find((name) => name !== job.tenant) ?? '';
    expect((await schedule.scheduler.cancel(job.id, stranger)).status).toBe('missing');
    const forgotten = model.ended(job) && !model.tenants.get(job.tenant)?.kept.includes(job.id);
    const reply = await schedule.scheduler.cancel(job.id, job.tenant);
    const expected = model.cancel(job);
    expect(reply.status).toBe(forgotten ? 'missing' : expected.status);
    expect(reply.admitted.map(text)).toEqual(expected.admitted);
  }

  async function due(): Promise<void> {
    const tasks = model.tasks().filter(({ state }) => state === 'delayed');
    for (const { id, job } of tasks) await redis.client.zadd(`{c0}:delayed:${job.pool}`, '0', id);
    await schedule.scheduler.reconcile();
    model.due(tasks);
  }

  async function reconcile(): Promise<void> {
    // Whom one pool has served may leave another's place ahead to the next.
    await schedule.scheduler.reconcile();
    model.due([]);
    const inflight = POOLS.flatMap((pool) => model.inflight(pool));
    const lost = await redis.client.keys('{c0}:run-*:task_*');
    if (lost.length > 0) await redis.client.del(...lost);
    const again = (await schedule.scheduler.reconcile()).map(text).sort();
    expect(again).toEqual(inflight.map((task) => text(deliveryOf(task))).sort());
    expect(await schedule.scheduler.reconcile()).toEqual([]);
  }

  /** A frozen executor comes back with the token of an earlier run, and changes nothing. */
  async function late(index: number): Promise<void> {
    const old = oldTokens[index % Math.max(1, oldTokens.length)];
    if (old === undefined || old.token === old.task.token) return;
    const holder = { ...holderOf(old.task), runToken: old.token };
    // The token of the last run of a task that is over is not an old one: that end is only told again.
    if ((await redis.client.hget(`{c0}:task:${old.task.id}`, 'token')) === old.token) return;
    expect((await schedule.scheduler.settle(holder, 'finished', null)).status).toBe('fenced');
    const back = { excused: true, work: null };
    expect((await schedule.scheduler.requeue(holder, FAULT, back)).status).toBe('fenced');
  }

  async function stale(index: number): Promise<void> {
    const task = choose(index, 'backlog', 'delayed', 'admitted', 'running');
    if (task === null) return;
    const delivery = { ...deliveryOf(task), admission: task.admission + 1 };
    expect((await schedule.claim(delivery)).reply.status).toBe('stale');
  }

  /** An end that is told twice ends nothing twice. */
  async function again(index: number): Promise<void> {
    const task = choose(index, 'terminal');
    if (task?.token === undefined || task.token === null) return;
    const told = await schedule.scheduler.settle(holderOf(task), 'finished', null);
    expect(told.admitted).toEqual([]);
  }

  async function make(next: Move): Promise<void> {
    switch (next.kind) {
      case 'submit': {
        await submit(next);
        return;
      }
      case 'slots': {
        const { executor, pool, slots, ahead } = next;
        const { admitted } = await schedule.announce(slots, executor, pool, ahead);
        model.poolOrder = await redis.client.smembers('{c0}:pools');
        expect(admitted.map(text)).toEqual(model.announce(pool, executor, slots, ahead));
        return;
      }
      case 'claim': {
        const task = choose(next.pick, 'admitted', 'running');
        if (task !== null) await claim(task);
        return;
      }
      case 'settle': {
        const task = choose(next.pick, 'running');
        if (task !== null) await settle(task, next);
        return;
      }
      case 'requeue': {
        const task = choose(next.pick, 'running');
        if (task !== null) await requeue(task, next);
        return;
      }
      case 'cancel': {
        await cancel(next.pick);
        return;
      }
      case 'due': {
        await due();
        return;
      }
      case 'late': {
        await late(next.pick);
        return;
      }
      case 'stale': {
        await stale(next.pick);
        return;
      }
      case 'again': {
        await again(next.pick);
        return;
      }
      case 'reconcile': {
        await reconcile();
        return;
      }
    }
  }

  /** Compares everything, and takes over the clock's share of the figures. */
  async function compare(): Promise<void> {
    const books = await readBooks(redis.client);
    expect(violations(books)).toEqual([]);
    for (const { id, state } of model.tasks()) {
      expect(books.states.get(id), id).toBe(state === 'delayed' ? 'backlog' : state);
      expect(books.delayed.has(id), id).toBe(state === 'delayed');
    }
    for (const job of model.jobs) {
      const kept = !model.ended(job) || model.tenants.get(job.tenant)?.kept.includes(job.id);
      const record = books.jobs.get(job.id);
      expect(record !== undefined, job.id).toBe(kept);
      if (record === undefined) continue;
      expect(record).toMatchObject({ status: job.status, pending: job.pending.length });
      if (!model.ended(job)) expect(record.fate).toBe(job.fate);
    }
    for (const pool of model.pools.values()) {
      const { ready = [], window = 0 } = books.pools.get(pool.name) ?? {};
      expect(window).toBe(model.window(pool.name));
      expect(ready.map(({ tenant }) => tenant).sort()).toEqual([...pool.ready.keys()].sort());
      for (const { tenant, score } of ready) {
        expect(Math.abs(score - (pool.ready.get(tenant) ?? NaN))).toBeLessThan(0.01);
        pool.ready.set(tenant, score);
      }
    }
    for (const tenant of model.tenants.values()) {
      expect(books.running.get(tenant.name) ?? 0).toBe(tenant.running);
      const [vr, est] = await redis.client.hmget(`{c0}:tenant:${tenant.name}`, 'vr', 'est');
      expect(Math.abs(Number(vr ?? 0) - tenant.vr)).toBeLessThan(0.01);
      expect(Math.abs(Number(est ?? 100) - tenant.est)).toBeLessThan(0.01);
      Object.assign(tenant, { vr: Number(vr ?? 0), est: Number(est ?? 100) });
      const kept = await redis.client.zrange(`{c0}:kept:${tenant.name}`, '0', '-1');
      expect(kept.map((entry) => entry.split(' ')[0])).toEqual(tenant.kept);
      const day = Math.floor(Date.now() / 86_400_000);
      const ended = await redis.client.hget(`{c0}:usage:${tenant.name}:${day}`, 'jobs');
      expect(Number(ended ?? 0)).toBe(tenant.ended);
    }
    model.vmin = Number((await redis.client.get('{c0}:vmin')) ?? 0);
  }

  return { make, compare };
}

/** So many random sequences, the same ones for the same seed. Shrinking takes longer than a test may. */
export async function assertAgreement(
  redis: TestRedis,
  runs: { readonly numRuns: number; readonly seed: number },
): Promise<void> {
  const schedule = createSchedule(redis.client);
  const weights = fc.array(fc.constantFrom(1, 1, 2, 3, 0.5), { minLength: 3, maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(
      weights,
      fc.constantFrom(1, 2, 1e9),
      fc.array(move, { minLength: 20, maxLength: 120, size: 'max' }),
      async (given, runningMax, moves) => {
        const pair = await createPair(redis, schedule, given, runningMax);
        for (const next of moves) {
          await pair.make(next);
          // The model's virtual runtimes change at an admission and at an end or a requeue, nowhere else.
          await pair.compare();
        }
      },
    ),
    { ...runs, endOnFailure: true },
  );
}
