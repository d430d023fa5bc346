import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SandboxFault } from '../../services/contract/faults.js';
import type { Task } from '../../services/contract/task.js';
import type { TaskRunner, TaskSource } from '../../services/platform/task-source.js';
import { eventually } from '../helpers/eventually.js';
import {
  createGate,
  FAKE_IMAGE,
  finished,
  startFakeExecutor,
  untilStopped,
} from '../helpers/fake-executor.js';
import { echo, startReplica, TENANT, type Replica } from '../helpers/jobs.js';
import { startRedis, type TestRedis } from '../helpers/redis.js';

let redis: TestRedis;
let replica: Replica;
let executors: TaskSource[] = [];

beforeEach(async () => {
  redis = await startRedis();
  replica = await startReplica(redis.url);
});

afterEach(async () => {
  await Promise.all(executors.map((executor) => executor.drain(0)));
  executors = [];
  await replica.close();
  await redis.stop();
});

async function startExecutor(runner: TaskRunner, slots = 2) {
  const executor = await startFakeExecutor(redis.url, runner, slots);
  executors.push(executor);
  return executor;
}

describe('a job', () => {
  it('comes back with its result, its times and its executor', async () => {
    const executor = await startExecutor((task) => Promise.resolve(finished(task)));
    const job = await replica.jobs.submit(TENANT, echo('hello', { metadata: { a: 1 } }), 5_000);
    expect(job).toMatchObject({
      status: 'finished',
      language: 'python',
      image: FAKE_IMAGE,
      executor: executor.executorId,
      runs: 1,
      run: { outcome: 'exited', stdout: 'hello' },
      files: [],
      problem: null,
      metadata: { a: 1 },
    });
    expect(job.timings.queuedMs).toBeGreaterThanOrEqual(0);
    expect(job.timings.boxMs).toBe(0.5);
    expect(job.timings.totalMs).toBeGreaterThanOrEqual(job.timings.queuedMs ?? 0);
  });

  it('is answered as it is read, told in the announcement or too large for that', async () => {
    await startExecutor((task) => Promise.resolve(finished(task)));
    for (const bytes of [0, 1_000, 100_000]) {
      const answered = await replica.jobs.submit(TENANT, echo('x'.repeat(bytes)), 5_000);
      expect(answered.run).toMatchObject({ stdout: 'x'.repeat(bytes) });
      expect(answered).toEqual(await replica.jobs.get(TENANT, answered.id, { waitMs: 0 }));
    }
  });

  it('gives only the heavy parts that were asked for', async () => {
    await startExecutor((task) => Promise.resolve(finished(task)));
    const { id } = await replica.jobs.submit(TENANT, echo('hello'), 5_000);
    const job = await replica.jobs.get(TENANT, id, { waitMs: 0, include: ['stderr'] });
    expect(job?.run).toMatchObject({ outcome: 'exited', stderr: '' });
    expect(job?.run).not.toHaveProperty('stdout');
    expect(job).not.toHaveProperty('files');
  });

  it('carries the largest input and output there can be', { timeout: 60_000 }, async () => {
    const large = 'x'.repeat(16 * 1024 * 1024);
    await startExecutor((task) => {
      const result = finished(task);
      if (result.status === 'finished' && result.work.run !== null) result.work.run.stderr = large;
      return Promise.resolve(result);
    });
    const job = await replica.jobs.submit(TENANT, echo(large), 50_000);
    expect(job.status).toBe('finished');
    expect(job.run?.stdout === large && job.run.stderr === large).toBe(true);
  });

  it('of another tenant is as missing as one that never was', async () => {
    const { id } = await replica.jobs.submit(TENANT, echo('x'), 0);
    await expect(replica.jobs.get('other', id, { waitMs: 0 })).resolves.toBeNull();
    await expect(replica.jobs.cancel('other', id, 0)).rejects.toMatchObject({ code: 'not_found' });
    expect(await replica.jobs.get(TENANT, id, { waitMs: 0 })).toMatchObject({ status: 'queued' });
  });

  it('keeps to the expiry of its record, with its result', async () => {
    await startExecutor((task) => Promise.resolve(finished(task)));
    const { id } = await replica.jobs.submit(TENANT, echo('x'), 5_000);
    for (const kind of ['job', 'result']) {
      expect(await redis.client.pttl(`{c0}:${kind}:${id}`)).toBeGreaterThan(3_500_000);
    }
    expect(await redis.client.keys('{c0}:spec:*')).toEqual([]);
  });

  it('is heard of by a reader at another replica', async () => {
    const gate = createGate();
    await startExecutor(gate.runner);
    const other = await startReplica(redis.url);
    const { id } = await replica.jobs.submit(TENANT, echo('x'), 0);
    const read = other.jobs.get(TENANT, id, { waitMs: 10_000 });
    await eventually(async () => (await redis.client.exists(`{c0}:watchers:${id}`)) === 1);
    await eventually(gate.entered);
    const asked = Date.now();
    gate.open();
    expect(await read).toMatchObject({ status: 'finished' });
    expect(Date.now() - asked).toBeLessThan(2_000);
    await other.close();
  });

  it('is found by its waiter when the subscriber lost the announcement', async () => {
    const gate = createGate();
    await startExecutor(gate.runner);
    const waited = replica.jobs.submit(TENANT, echo('x'), 10_000);
    await eventually(gate.entered);
    // The subscriber is cut off while the job ends, and reads again once it is back.
    const retry = replica.subscriber.options.retryStrategy;
    replica.subscriber.options.retryStrategy = () => 300;
    await redis.client.call('CLIENT', 'KILL', 'TYPE', 'PUBSUB');
    gate.open();
    expect(await waited).toMatchObject({ status: 'finished' });
    replica.subscriber.options.retryStrategy = retry ?? (() => 100);
  });
});

describe('cancelling', () => {
  it('ends a queued job at once, and it never starts', async () => {
    const { id } = await replica.jobs.submit(TENANT, echo('x'), 0);
    const job = await replica.jobs.cancel(TENANT, id, 0);
    expect(job).toMatchObject({ status: 'cancelled', run: null, runs: 0 });
    const seen: Task[] = [];
    await startExecutor((task) => {
      seen.push(task);
      return Promise.resolve(finished(task));
    });
    await replica.jobs.submit(TENANT, echo('y'), 5_000);
    expect(seen.map((task) => task.spec.stdin.content)).toEqual(['y']);
    await expect(replica.jobs.cancel(TENANT, id, 0)).rejects.toMatchObject({ code: 'conflict' });
  });

  it('kills a running job, and returns what it had done', async () => {
    await startExecutor(untilStopped);
    const { id } = await replica.jobs.submit(TENANT, echo('partly'), 0);
    await eventually(() => executors[0]?.count() === 1);
    const job = await replica.jobs.cancel(TENANT, id, 5_000);
    expect(job).toMatchObject({ status: 'cancelled', run: { stdout: 'partly' }, problem: null });
  });
});

describe('a fault', () => {
  it(
    'is retried, and the fourth run ends as failed with its stage',
    { timeout: 20_000 },
    async () => {
      const runs: number[] = [];
      await startExecutor((task) => {
        runs.push(task.run);
        throw new SandboxFault({ stage: 'overlay', errno: 12, detail: 'no memory' });
      });
      const job = await replica.jobs.submit(TENANT, echo('x'), 15_000);
      expect(runs).toEqual([1, 2, 3, 4]);
      expect(job).toMatchObject({
        status: 'failed',
        runs: 4,
        run: null,
        problem: {
          code: 'execution_fault',
          stage: 'overlay',
          detail: 'no memory',
          retryable: true,
        },
      });
    },
  );

  it('that was passing is not seen by the client', async () => {
    await startExecutor((task) => {
      if (task.run === 1) throw new Error('out of luck');
      return Promise.resolve(finished(task));
    });
    const job = await replica.jobs.submit(TENANT, echo('x'), 10_000);
    expect(job).toMatchObject({ status: 'finished', runs: 2, problem: null });
  });

  it('that cannot pass is not retried', async () => {
    await startExecutor(() => {
      throw new SandboxFault({ stage: 'seccomp', errno: 38, detail: 'x', retryable: false });
    });
    const job = await replica.jobs.submit(TENANT, echo('x'), 10_000);
    expect(job).toMatchObject({ status: 'failed', runs: 1, problem: { stage: 'seccomp' } });
  });
});

describe('draining', () => {
  it('lets a run finish, and takes no other', async () => {
    const gate = createGate();
    const executor = await startExecutor(gate.runner, 1);
    const first = replica.jobs.submit(TENANT, echo('1'), 10_000);
    await eventually(gate.entered);
    const second = await replica.jobs.submit(TENANT, echo('2'), 0);
    const drained = executor.drain(5_000);
    await eventually(async () => (await redis.client.zcard('{c0}:executors:default')) === 0);
    gate.open();
    expect(await first).toMatchObject({ status: 'finished' });
    await drained;
    expect(await replica.jobs.get(TENANT, second.id, { waitMs: 0 })).toMatchObject({
      status: 'queued',
      runs: 0,
    });
  });

  it('gives back what is not done in time, without holding it against it', async () => {
    const executor = await startExecutor(untilStopped, 1);
    const { id } = await replica.jobs.submit(TENANT, echo('x'), 0);
    await eventually(() => executor.count() === 1);
    await executor.drain(50);
    expect(await replica.jobs.get(TENANT, id, { waitMs: 0 })).toMatchObject({ status: 'queued' });
    await startExecutor((task) => Promise.resolve(finished(task)));
    const job = await replica.jobs.get(TENANT, id, { waitMs: 10_000 });
    expect(job).toMatchObject({ status: 'finished', runs: 2 });
  });
});
