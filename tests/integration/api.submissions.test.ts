import request from 'supertest';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { CreatedTenant } from '../../services/contract/tenant.js';
import type { TaskSource } from '../../services/platform/task-source.js';
import { startApi, type TestApi } from '../helpers/api.js';
import { finished, startFakeExecutor } from '../helpers/fake-executor.js';
import { startRedis, type TestRedis } from '../helpers/redis.js';

let redis: TestRedis;
let api: TestApi;
let tenant: CreatedTenant;
let executor: TaskSource | null = null;

beforeAll(async () => {
  redis = await startRedis();
  api = await startApi(redis.url);
});

afterAll(async () => {
  await api.close();
  await redis.stop();
});

beforeEach(async () => {
  await executor?.drain(0);
  executor = null;
  await redis.client.flushall();
  tenant = await api.tenants.create('class');
});

const hello = { language: 'python', source: 'print(1)', stdin: 'x' };

function post(path: string, body: object, headers: Record<string, string> = {}) {
  return request(api.app)
    .post(path)
    .set({ Authorization: `Bearer ${tenant.apiKey}`, ...headers })
    .send(body);
}

function get(path: string, apiKey = tenant.apiKey) {
  return request(api.app).get(path).set('Authorization', `Bearer ${apiKey}`);
}

async function startExecutor() {
  executor = await startFakeExecutor(redis.url, (task) => Promise.resolve(finished(task)));
}

const once = (key: string) => ({ 'Idempotency-Key': key });
const jobCount = async () => (await redis.client.keys('{c0}:job:*')).length;

describe('an idempotency key', () => {
  it('makes one job of many submissions, also at the same time', async () => {
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => post('/v1/jobs', hello, once('k'))),
    );
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1);
    expect(answers.every(({ status }) => status === 202)).toBe(true);
    expect(answers.filter(({ headers }) => headers['idempotent-replay'] === 'true').length).toBe(9);
    expect(await jobCount()).toBe(1);
  });

  it('answers with the job as it is by then, and may wait for it', async () => {
    const first = await post('/v1/jobs', hello, once('k')).expect(202);
    await startExecutor();
    const again = await post('/v1/jobs?wait=10', hello, once('k')).expect(200);
    expect(again.body).toMatchObject({ id: first.body.id, status: 'finished' });
    expect(again.headers['idempotent-replay']).toBe('true');
    expect(again.headers.location).toBe(`/v1/jobs/${first.body.id}`);
  });

  it('refuses another body', async () => {
    await post('/v1/jobs', hello, once('k')).expect(202);
    const refused = await post('/v1/jobs', { ...hello, stdin: 'y' }, once('k')).expect(409);
    expect(refused.body).toMatchObject({ code: 'idempotency_conflict' });
    expect(await jobCount()).toBe(1);
  });

  it('tells that the result has expired, and forgets the key after a day', async () => {
    const { body } = await post('/v1/jobs', hello, once('k')).expect(202);
    await redis.client.del(`{c0}:job:${body.id}`);
    const gone = await post('/v1/jobs', hello, once('k')).expect(410);
    expect(gone.body).toMatchObject({ code: 'gone' });
    const [key = ''] = await redis.client.keys('{c0}:idem:*');
    const ttl = await redis.client.pttl(key);
    expect(ttl).toBeGreaterThan(86_400_000 - 60_000);
    expect(ttl).toBeLessThanOrEqual(86_400_000);
  });

  it("is the tenant's own", async () => {
    const other = await api.tenants.create('other');
    const first = await post('/v1/jobs', hello, once('k')).expect(202);
    const headers = { ...once('k'), Authorization: `Bearer ${other.apiKey}` };
    const second = await post('/v1/jobs', { ...hello, stdin: 'y' }, headers).expect(202);
    expect(second.body.id).not.toBe(first.body.id);
    expect(second.headers).not.toHaveProperty('idempotent-replay');
  });

  it('is not used up by a refused submission', async () => {
    await post('/v1/jobs', { language: 'python' }, once('k')).expect(400);
    await post('/v1/jobs', hello, once('k')).expect(202);
  });

  it('has a length and is printable', async () => {
    for (const key of ['x'.repeat(256), 'é']) {
      const refused = await post('/v1/jobs', hello, once(key)).expect(400);
      expect(refused.body.issues[0].path).toBe('Idempotency-Key');
    }
  });
});

describe('a batch', () => {
  it('accepts and refuses entry by entry, in order', async () => {
    const { body } = await post('/v1/batches', {
      jobs: [
        hello,
        { language: 'cobol' },
        { ...hello, idempotencyKey: 'a' },
        5,
        { ...hello, idempotencyKey: 'a' },
      ],
    }).expect(207);
    const [first, wrong, keyed, number, again] = body.jobs;
    expect(first).toEqual({ id: expect.stringMatching(/^job_/), status: 'queued' });
    expect(wrong.problem).toMatchObject({ code: 'invalid_request', status: 400 });
    expect(wrong.problem.issues[0].path).toBe('language');
    expect(number.problem).toMatchObject({ code: 'invalid_request' });
    expect(again.id).toBe(keyed.id);
    expect(await jobCount()).toBe(2);
  });

  it('shares its keys with single submissions', async () => {
    const { body } = await post('/v1/batches', { jobs: [{ ...hello, idempotencyKey: 'a' }] });
    const single = await post('/v1/jobs', hello, once('a')).expect(202);
    expect(single.body.id).toBe(body.jobs[0].id);
  });

  it('is refused as a whole when it is none', async () => {
    for (const body of [
      {},
      { jobs: [] },
      { jobs: Array(1_001).fill(1) },
      { jobs: [hello], x: 1 },
    ]) {
      const refused = await post('/v1/batches', body).expect(400);
      expect(refused.body.code).toBe('invalid_request');
    }
  });

  it('is charged as as many requests', async () => {
    await api.tenants.update(tenant.id, { requestsPerSecond: 1 });
    const jobs = Array.from({ length: 600 }, () => ({ language: 'bash', source: ':' }));
    const { body } = await post('/v1/batches', { jobs }).expect(207);
    expect(body.jobs.filter((entry: { id?: string }) => entry.id !== undefined)).toHaveLength(600);
    const { headers } = await get('/v1/languages').expect(200);
    const remaining = Number(/r=(\d+)/.exec(headers['ratelimit'] ?? '')?.[1]);
    expect(Math.abs(remaining - 399)).toBeLessThan(30);
    await post('/v1/batches', { jobs }).expect(207);
    const refused = await post('/v1/batches', { jobs }).expect(429);
    expect(refused.body.code).toBe('rate_limited');
    expect(Math.abs(Number(refused.headers['retry-after']) - 202)).toBeLessThan(30);
  });

  it('says of each entry that does not fit any more that it does not', async () => {
    await api.tenants.update(tenant.id, { queuedMax: 2 });
    const { body } = await post('/v1/batches', { jobs: [hello, hello, hello] }).expect(207);
    const codes = body.jobs.map((entry: { problem?: { code: string } }) => entry.problem?.code);
    expect(codes).toEqual([undefined, undefined, 'queue_full']);
  });
});

describe('the list of jobs', () => {
  interface Page {
    readonly jobs: { readonly id: string; readonly status: string }[];
    readonly nextCursor: string | null;
  }

  async function page(query: string): Promise<Page> {
    return (await get(`/v1/jobs?${query}`).expect(200)).body as Page;
  }

  async function submitMany(count: number): Promise<string[]> {
    const ids: string[] = [];
    for (let i = 0; i < count; i += 1) ids.push((await post('/v1/jobs', hello)).body.id);
    return ids.reverse();
  }

  it('has every job once, newest first, whatever comes in meanwhile', async () => {
    const ids = await submitMany(7);
    const seen: string[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const { jobs, nextCursor }: Page = await page(
        `limit=3${cursor === '' ? '' : `&cursor=${cursor}`}`,
      );
      seen.push(...jobs.map(({ id }) => id));
      cursor = nextCursor;
      await submitMany(2);
    }
    expect(seen).toEqual(ids);
  });

  it('goes on after a job that is gone, and between jobs of the same moment', async () => {
    const ids = await submitMany(5);
    for (const id of ids) await redis.client.zadd(`{c0}:jobs:${tenant.id}`, '5', id);
    const order = [...ids].sort().reverse();
    const first = await page('limit=2');
    await redis.client.del(`{c0}:job:${first.jobs[1]?.id ?? ''}`, `{c0}:job:${order[2] ?? ''}`);
    const second = await page(`limit=2&cursor=${first.nextCursor ?? ''}`);
    expect([...first.jobs, ...second.jobs].map(({ id }) => id)).toEqual([
      order[0],
      order[1],
      order[3],
      order[4],
    ]);
  });

  it('is of one status where that is asked for, and carries no results', async () => {
    const [waiting] = await submitMany(1);
    await request(api.app)
      .delete(`/v1/jobs/${waiting ?? ''}`)
      .set('Authorization', `Bearer ${tenant.apiKey}`);
    const [queued] = await submitMany(1);
    const cancelled = await page('status=cancelled');
    expect(cancelled.jobs.map(({ id }) => id)).toEqual([waiting]);
    expect((await page('status=queued')).jobs.map(({ id }) => id)).toEqual([queued]);
    expect(cancelled.jobs[0]).not.toHaveProperty('run');
    expect((await page('status=failed')).nextCursor).toBeNull();
  });

  it('is the tenant’s own, whatever cursor it brings', async () => {
    await submitMany(3);
    const other = await api.tenants.create('other');
    const { nextCursor } = await page('limit=1');
    const foreign = await get(`/v1/jobs?cursor=${nextCursor ?? ''}`, other.apiKey).expect(200);
    expect(foreign.body).toEqual({ jobs: [], nextCursor: null });
  });

  it('refuses what is no cursor, no limit and no status, naming it', async () => {
    for (const [name, value] of [
      ['cursor', 'x'],
      ['cursor', Buffer.from('1 job_x').toString('base64url')],
      ['limit', '0'],
      ['limit', '101'],
      ['status', 'done'],
    ] as const) {
      const refused = await get(`/v1/jobs?${name}=${value}`).expect(400);
      expect(refused.body.issues[0].path).toBe(name);
    }
  });
});

describe('the usage', () => {
  it('has what the jobs of a day have cost, and what is left of the plan', async () => {
    await api.tenants.update(tenant.id, { cpuSecondsPerDay: 10, queuedMax: 5, runningMax: 4 });
    const day = Math.floor(Date.now() / 86_400_000);
    const billed = { jobs: 3, cpuMs: 3, slotMs: '9.5', memoryByteMs: 12_288 };
    await redis.client.hset(`{c0}:usage:${tenant.id}:${day}`, billed);
    const { body } = await get('/v1/usage?days=2').expect(200);
    expect(body.days).toHaveLength(1);
    expect(body.days[0]).toMatchObject({
      day: new Date().toISOString().slice(0, 10),
      jobs: 3,
      cpuSeconds: 0.003,
      slotSeconds: 0.0095,
      memoryByteSeconds: 12.288,
    });
    expect(body.plan.cpuSecondsPerDay).toBe(10);
    expect(body.left).toMatchObject({ cpuSecondsToday: 9.997, running: 4, queued: 5 });
    const other = await api.tenants.create('other');
    expect((await get('/v1/usage', other.apiKey).expect(200)).body.days).toEqual([]);
    await get('/v1/usage?days=0').expect(400);
  });
});
