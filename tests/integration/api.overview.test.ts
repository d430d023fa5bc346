// What the operator sees of a whole installation: read from the books and from what executors tell.
import request from 'supertest';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ExecutorReport, Overview } from '../../services/contract/overview.js';
import { DEFAULT_CELL, createKeys } from '../../services/platform/keys.js';
import { ADMIN_KEY, API_KEY, startApi, type TestApi } from '../helpers/api.js';
import { eventually } from '../helpers/eventually.js';
import { createGate, startFakeExecutor } from '../helpers/fake-executor.js';
import { startRedis, type TestRedis } from '../helpers/redis.js';

const keys = createKeys(DEFAULT_CELL);
let redis: TestRedis;
let api: TestApi;
let gate: ReturnType<typeof createGate>;
let executor: Awaited<ReturnType<typeof startFakeExecutor>>;

beforeAll(async () => {
  redis = await startRedis();
  api = await startApi(redis.url);
});

afterAll(async () => {
  await api.close();
  await redis.stop();
});

beforeEach(async () => {
  await redis.client.flushall();
  gate = createGate();
  executor = await startFakeExecutor(redis.url, gate.runner, 2);
});

afterEach(async () => {
  gate.open();
  await executor.drain(2_000);
});

async function look(path: string, key = ADMIN_KEY) {
  const call = request(api.adminApp).get(`/v1/admin/${path}`);
  return await call.set('Authorization', `Bearer ${key}`);
}

const overview = async (): Promise<Overview> => (await look('overview')).body as Overview;

async function executors(): Promise<ExecutorReport[]> {
  return ((await look('executors')).body as { executors: ExecutorReport[] }).executors;
}

async function submit(apiKey: string): Promise<void> {
  const call = request(api.app).post('/v1/jobs').set('Authorization', `Bearer ${apiKey}`);
  await call.send({ language: 'python', source: 'print(1)' }).expect(202);
}

describe('the overview', () => {
  it('counts what waits and runs, by pool and by tenant, and what came of it', async () => {
    const busy = await api.tenants.create('busy', { weight: 3 });
    await api.tenants.create('idle');
    for (let i = 0; i < 5; i += 1) await submit(busy.apiKey);
    await eventually(async () => (await overview()).pools[0]?.inflight === 2);
    const seen = await overview();
    expect(seen.pools).toEqual([
      { pool: 'default', backlog: 3, delayed: 0, inflight: 2, slots: 2, executors: 1 },
    ]);
    expect(seen.tenants).toEqual([
      { id: busy.id, name: 'busy', weight: 3, backlog: 3, running: 2 },
    ]);
    expect(seen.executors).toEqual({ live: 1, draining: 0 });
    expect(seen.redis.memoryBytes).toBeGreaterThan(0);

    gate.open();
    await eventually(async () => (await overview()).totals.runs['finished'] === 5);
    const after = await overview();
    expect(after.tenants).toEqual([]);
    expect(after.totals.stages['settle']?.count).toBe(5);
    expect(after.totals.stages['settle']?.seconds).toBeGreaterThan(0);
  });

  it('has a tenant without a name once it is deleted', async () => {
    const { id, apiKey } = await api.tenants.create('gone');
    await submit(apiKey);
    await eventually(gate.entered);
    await api.tenants.remove(id);
    expect((await overview()).tenants).toEqual([
      { id, name: null, weight: null, backlog: 0, running: 1 },
    ]);
  });
});

describe('the list of executors', () => {
  it('has what each is, and whether it drains, until it has stopped', async () => {
    await submit(API_KEY);
    await eventually(async () => (await executors())[0]?.busySlots === 1);
    const [report] = await executors();
    expect(report).toMatchObject({
      id: executor.executorId,
      pool: 'default',
      slots: 2,
      draining: false,
      version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
      images: [],
    });
    expect(report?.load).toBeGreaterThanOrEqual(0);
    expect(Date.parse(report?.startedAt ?? '')).toBeLessThanOrEqual(Date.now());

    const drained = executor.drain(20_000);
    await eventually(async () => (await executors())[0]?.draining === true);
    const seen = await overview();
    expect(seen.executors).toEqual({ live: 0, draining: 1 });
    expect(seen.pools[0]).toMatchObject({ slots: 0, executors: 0, inflight: 1 });
    gate.open();
    await drained;
    expect(await executors()).toEqual([]);
  });

  it('forgets one that says nothing any more, and leaves out what it cannot read', async () => {
    await eventually(async () => (await executors()).length === 1);
    const now = Date.now();
    await redis.client.zadd(keys.reporting, now, 'dead', now, 'other-version');
    await redis.client.set(keys.report('other-version'), '{"id": "other-version"}');
    expect((await executors()).map(({ id }) => id)).toEqual([executor.executorId]);
    expect(await redis.client.pttl(keys.report(executor.executorId))).toBeGreaterThan(0);
  });
});

describe('neither', () => {
  it.each(['overview', 'executors'])('shows %s to a tenant', async (path) => {
    const { apiKey } = await api.tenants.create(`tenant-${path}`);
    for (const key of [apiKey, API_KEY, 'nonsense']) {
      expect((await look(path, key)).status).toBe(401);
    }
    const call = request(api.app).get(`/v1/admin/${path}`);
    await call.set('Authorization', `Bearer ${apiKey}`).expect(404);
  });

  it.each(['overview', 'executors'])('guesses: %s is a 503 without Redis', async (path) => {
    redis.freeze();
    try {
      expect((await look(path)).body).toMatchObject({ status: 503, code: 'unavailable' });
    } finally {
      redis.thaw();
    }
  });
});
