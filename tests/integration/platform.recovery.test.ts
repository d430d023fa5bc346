import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DEFAULT_POOL, QUEUE_NAME_PREFIX } from '../../services/platform/keys.js';
import { readBooks, violations } from '../helpers/books.js';
import { eventually } from '../helpers/eventually.js';
import { finished, startFakeExecutor } from '../helpers/fake-executor.js';
import { echo, startReplica, TENANT, type Replica } from '../helpers/jobs.js';
import { startRedis, type TestRedis } from '../helpers/redis.js';
import { createSchedule } from '../helpers/schedule.js';

const SCRIPT = fileURLToPath(new URL('../helpers/executor-process.mjs', import.meta.url));
const LEDGER = 'the-tests-own-ledger';

let redis: TestRedis;
let replica: Replica;
let children: ChildProcess[] = [];
let ends: Map<string, number>;

beforeEach(async () => {
  redis = await startRedis();
  replica = await startReplica(redis.url, { reconciles: true, recheckMs: 500 });
  ends = new Map();
});

afterEach(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }
  children = [];
  await replica.close();
  await redis.stop();
});

function notAdmitted(): never {
  throw new Error('it was not admitted');
}

/** Counts the announcements of ends: one for each job, or it ended twice. */
async function countEnds(): Promise<() => void> {
  const subscriber = redis.client.duplicate();
  subscriber.on('error', () => undefined);
  subscriber.on('pmessage', (_pattern: string, _channel: string, told: string) => {
    const [jobId = told] = told.split(' ');
    ends.set(jobId, (ends.get(jobId) ?? 0) + 1);
  });
  await subscriber.psubscribe('{c0}:replies:*');
  return () => subscriber.disconnect();
}

async function startProcess() {
  const child = spawn(process.execPath, [SCRIPT, redis.url, redis.socketPath, LEDGER], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { child, executorId: line.toString().trim() };
}

/** Runs that this executor holds, by the records. */
async function heldBy(executorId: string): Promise<number> {
  const keys = await redis.client.keys('{c0}:task:*');
  const tasks = await Promise.all(keys.map((key) => redis.client.hmget(key, 'state', 'executor')));
  return tasks.filter(([state, holder]) => state === 'running' && holder === executorId).length;
}

function submitAll(count: number, ms: number) {
  return Promise.all(
    Array.from({ length: count }, () => replica.jobs.submit(TENANT, echo(String(ms)), 0)),
  );
}

async function allEnded(ids: readonly string[], limitMs: number): Promise<void> {
  await eventually(async () => {
    const jobs = await Promise.all(
      ids.map((id) => replica.jobs.get(TENANT, id, { waitMs: 0, include: [] })),
    );
    return jobs.every((job) => job?.status === 'finished');
  }, limitMs);
  const books = await readBooks(redis.client);
  expect(violations(books)).toEqual([]);
  expect(books.inflight.size).toBe(0);
}

describe('the reconciler', () => {
  const queue = `{c0}:${QUEUE_NAME_PREFIX}${DEFAULT_POOL}`;

  it('delivers again within two seconds what BullMQ has lost', async () => {
    const schedule = createSchedule(redis.client);
    await schedule.announce(1);
    const job = await replica.jobs.submit(TENANT, echo('x'), 0);
    const lost = await redis.client.keys(`${queue}:*`);
    expect(lost).toContain(`${queue}:wait`);
    await redis.client.del(...lost);
    const asked = Date.now();
    await eventually(async () => (await redis.client.llen(`${queue}:wait`)) === 1);
    expect(Date.now() - asked).toBeLessThan(2_000);
    const executor = await startFakeExecutor(redis.url, (task) => Promise.resolve(finished(task)));
    expect((await replica.jobs.get(TENANT, job.id, { waitMs: 5_000 }))?.status).toBe('finished');
    await executor.drain(0);
  });

  it('wakes a worker for what one that died was going to ask for', async () => {
    const schedule = createSchedule(redis.client);
    await schedule.announce(1);
    const first = await schedule.submit(TENANT);
    const held = await schedule.start(first.admitted[0] ?? notAdmitted());
    // As if its worker had taken the task, and dies once it has settled it.
    await redis.client.del(`${queue}:wait`, `${queue}:marker`);
    await replica.jobs.submit(TENANT, echo('x'), 0);
    await schedule.scheduler.settle(held, 'finished', null, { asks: true });
    expect(await redis.client.llen(`${queue}:wait`)).toBe(1);
    expect(await redis.client.exists(`${queue}:marker`)).toBe(0);
    await eventually(async () => (await redis.client.exists(`${queue}:marker`)) === 1);
  });
});

describe('no job is lost, and none ends twice', () => {
  it(
    'when an executor is killed, and one freezes and comes back',
    { timeout: 60_000 },
    async () => {
      const stopCounting = await countEnds();
      const [killed, frozen] = await Promise.all([startProcess(), startProcess()]);
      const jobs = await submitAll(24, 150);
      await eventually(async () => (await redis.client.llen(LEDGER)) >= 6);
      killed.child.kill('SIGKILL');
      await eventually(async () => (await heldBy(frozen.executorId)) === 2);
      frozen.child.kill('SIGSTOP');
      await startProcess();
      const ids = jobs.map(({ id }) => id);
      await allEnded(ids, 30_000);
      frozen.child.kill('SIGCONT');
      // What it held has ended elsewhere by now, and it has to find that out by itself.
      await eventually(async () => (await redis.client.llen(LEDGER)) > ids.length);
      await eventually(async () => {
        const beats = await redis.client.zcard('{c0}:executors:default');
        return beats === 2;
      });
      for (const id of ids) expect(ends.get(id), id).toBe(1);
      const ledger = await redis.client.lrange(LEDGER, '0', '-1');
      for (const id of ids) expect(ledger.some((line) => line.startsWith(id))).toBe(true);
      const books = await readBooks(redis.client);
      expect(violations(books)).toEqual([]);
      stopCounting();
    },
  );

  it('when Redis is killed in the middle and started again', { timeout: 60_000 }, async () => {
    await startProcess();
    const jobs = await submitAll(20, 100);
    await eventually(async () => (await redis.client.llen(LEDGER)) >= 4);
    await redis.kill();
    await new Promise((resolve) => setTimeout(resolve, 300));
    await redis.restart();
    await eventually(() => replica.redis.status === 'ready');
    await allEnded(
      jobs.map(({ id }) => id),
      30_000,
    );
  });
});

describe('tenants', () => {
  it('share slot time by weight, whatever their tasks are like', { timeout: 60_000 }, async () => {
    await redis.client.hset('{c0}:tenant:heavy', { weight: 3 });
    const [heavy, light] = [echo('10'), echo('40')];
    await Promise.all(
      Array.from({ length: 150 }, async (_, i) => {
        await replica.jobs.submit('heavy', heavy, 0);
        if (i < 40) await replica.jobs.submit('light', light, 0);
      }),
    );
    // Both have their backlog before anything runs: who comes later begins at the level of the others.
    const executor = await startFakeExecutor(redis.url, async (task) => {
      await new Promise((resolve) => setTimeout(resolve, Number(task.spec.stdin.content)));
      return finished(task);
    });
    // While both have a backlog.
    await eventually(
      async () => (await redis.client.zcard('{c0}:backlog:default:heavy')) < 15,
      30_000,
    );
    expect(await redis.client.zcard('{c0}:backlog:default:light')).toBeGreaterThan(0);
    const [a, b] = await Promise.all(
      ['heavy', 'light'].map((tenant) => redis.client.hget(`{c0}:tenant:${tenant}`, 'slotMs')),
    );
    const ratio = Number(a) / Number(b);
    expect(ratio).toBeGreaterThan(2.2);
    expect(ratio).toBeLessThan(4.2);
    await executor.drain(0);
  });
});
