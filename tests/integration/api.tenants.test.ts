import { readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import request from 'supertest';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { PLAN_DEFAULTS } from '../../services/contract/plan.js';
import type { CreatedTenant } from '../../services/contract/tenant.js';
import { decodeSpec } from '../../services/platform/stored-spec.js';
import { ADMIN_KEY, API_KEY, startApi, type TestApi } from '../helpers/api.js';
import { eventually } from '../helpers/eventually.js';
import { startFakeExecutor, untilStopped } from '../helpers/fake-executor.js';
import { startRedis, type TestRedis } from '../helpers/redis.js';

let redis: TestRedis;
let api: TestApi;

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
});

const hello = { language: 'python', source: 'print(1)' };
const operator = { Authorization: `Bearer ${ADMIN_KEY}` };
const bearer = (key: string) => ({ Authorization: `Bearer ${key}` });

const admin = (method: 'get' | 'post' | 'patch' | 'delete', path: string, body?: object) =>
  request(api.adminApp)[method](`/v1/admin${path}`).set(operator).send(body);
const call = (key: string) => request(api.app).get('/v1/languages').set(bearer(key));
const submit = (key: string, body: object = hello) =>
  request(api.app).post('/v1/jobs').set(bearer(key)).send(body);

async function create(name: string, plan: object = {}): Promise<CreatedTenant> {
  const { body } = await admin('post', '/tenants', { name, plan }).expect(201);
  return body as CreatedTenant;
}

describe('a tenant', () => {
  it('is created with a key that works, and is found by its id and its name', async () => {
    const created = await create('class', { weight: 3 });
    expect(created).toMatchObject({
      id: expect.stringMatching(/^ten_[a-z2-7]{26}$/),
      name: 'class',
      status: 'active',
      plan: { ...PLAN_DEFAULTS, weight: 3 },
    });
    await call(created.apiKey).expect(200);
    for (const ref of [created.id, 'class']) {
      const { body } = await admin('get', `/tenants/${ref}`).expect(200);
      expect(body).toMatchObject({ id: created.id, plan: { weight: 3 } });
      expect(body).not.toHaveProperty('apiKey');
    }
    const { body } = await admin('get', '/tenants').expect(200);
    expect(body.tenants.map((each: { name: string }) => each.name)).toEqual(['class']);
  });

  it('has a name of its own', async () => {
    await create('class');
    const again = await admin('post', '/tenants', { name: 'class' }).expect(409);
    expect(again.body).toMatchObject({ code: 'conflict' });
    for (const name of ['', 'a/b', 'ten_x', 'default', 'x'.repeat(65)]) {
      const { body } = await admin('post', '/tenants', { name }).expect(400);
      expect(body.issues[0].path).toBe('name');
    }
  });

  it('has a plan that changes field by field, and names what is wrong', async () => {
    const { id } = await create('class', { weight: 3 });
    const { body } = await admin('patch', `/tenants/${id}`, { plan: { runningMax: 5 } });
    expect(body.plan).toEqual({ ...PLAN_DEFAULTS, weight: 3, runningMax: 5 });
    expect(await redis.client.hget(`{c0}:tenant:${id}`, 'runningMax')).toBe('5');
    const wrong = await admin('patch', `/tenants/${id}`, { plan: { weight: 0, speed: 1 } });
    expect(wrong.status).toBe(400);
    expect(wrong.body.issues.map((issue: { path: string }) => issue.path).sort()).toEqual([
      'plan.speed',
      'plan.weight',
    ]);
  });

  it('that is suspended is told so, and its jobs go on unless the operator says otherwise', async () => {
    const { apiKey } = await create('class');
    const { body: job } = await submit(apiKey).expect(202);
    await admin('post', '/tenants/class/suspend', {}).expect(200);
    const refused = await call(apiKey).expect(403);
    expect(refused.body).toMatchObject({ code: 'suspended' });
    await admin('post', '/tenants/class/resume').expect(200);
    const kept = await request(api.app).get(`/v1/jobs/${job.id}`).set(bearer(apiKey)).expect(200);
    expect(kept.body.status).toBe('queued');
    await admin('post', '/tenants/class/suspend', { cancelJobs: true }).expect(200);
    expect(await redis.client.hget(`{c0}:job:${job.id}`, 'status')).toBe('cancelled');
  });

  it('that is deleted has no key, no name and no job any more', async () => {
    const executor = await startFakeExecutor(redis.url, untilStopped, 1);
    const { id, apiKey } = await create('class');
    const jobs = [await submit(apiKey).expect(202), await submit(apiKey).expect(202)];
    await eventually(() => executor.count() === 1);
    await admin('delete', '/tenants/class').expect(200);
    await call(apiKey).expect(401);
    for (const { body } of jobs) {
      await eventually(
        async () => (await redis.client.hget(`{c0}:job:${body.id}`, 'status')) === 'cancelled',
      );
    }
    expect(await redis.client.keys('{c0}:key:*')).toEqual([]);
    await admin('get', `/tenants/${id}`).expect(404);
    await admin('delete', `/tenants/${id}`).expect(404);
    expect((await create('class')).id).not.toBe(id);
    await executor.drain(0);
  });

  it('of the setting is there when it is needed, and stays', async () => {
    await call(API_KEY).expect(200);
    expect((await admin('get', '/tenants/default').expect(200)).body).toMatchObject({
      id: 'default',
      status: 'active',
    });
    await admin('delete', '/tenants/default').expect(409);
    await admin('post', '/tenants/default/suspend', {}).expect(200);
    await call(API_KEY).expect(403);
  });
});

describe('a key', () => {
  it('is kept as its digest only, also on disk', async () => {
    const { id, keyId, apiKey } = await create('class');
    const secret = apiKey.split('_')[2] ?? '';
    expect(await redis.client.hgetall(`{c0}:key:${keyId}`)).toMatchObject({
      tenant: id,
      name: 'first',
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    const directory = join(dirname(redis.socketPath), 'appendonlydir');
    const file = (await redis.client.call('CONFIG', 'GET', 'appendfilename')) as string[];
    const log = readFileSync(join(directory, `${file[1] ?? ''}.1.incr.aof`), 'latin1');
    expect(log).toContain(keyId);
    expect(log).not.toContain(secret);
  });

  it('cannot be guessed from its id, nor be another one with the same id', async () => {
    const { apiKey } = await create('class');
    const other = await create('other');
    const parts = apiKey.split('_');
    for (const key of [
      `mf_${parts[1] ?? ''}_${'a'.repeat(40)}_00000000`,
      apiKey.slice(0, -1),
      `${apiKey}x`,
      apiKey.toUpperCase(),
      other.apiKey.replace(other.keyId, parts[1] ?? ''),
    ]) {
      const { body } = await call(key).expect(401);
      expect(body).toMatchObject({ code: 'unauthenticated' });
    }
  });

  it('is issued with a name, listed without its secret, and told when it was used', async () => {
    const { id } = await create('class');
    const { body } = await admin('post', `/tenants/${id}/keys`, { name: 'ci' }).expect(201);
    await call(body.apiKey).expect(200);
    const { body: listed } = await admin('get', `/tenants/${id}/keys`).expect(200);
    expect(listed.keys.map((key: { name: string }) => key.name).sort()).toEqual(['ci', 'first']);
    const key = listed.keys.find((each: { id: string }) => each.id === body.id);
    expect(key).toMatchObject({ expiresAt: null, revokedAt: null });
    expect(Date.now() - Date.parse(key.lastUsedAt)).toBeLessThan(60_000);
    expect(JSON.stringify(listed)).not.toContain(body.apiKey.split('_')[2]);
  });

  it('ends with the request after its revocation', async () => {
    const { id, keyId, apiKey } = await create('class');
    await call(apiKey).expect(200);
    const { body } = await admin('delete', `/tenants/${id}/keys/${keyId}`).expect(200);
    expect(body.revokedAt).not.toBeNull();
    await call(apiKey).expect(401);
    await admin('post', `/tenants/${id}/keys/${keyId}/rotate`, {}).expect(409);
  });

  it('expires', async () => {
    const { id } = await create('class');
    const { body } = await admin('post', `/tenants/${id}/keys`, { expiresInSeconds: 60 });
    await call(body.apiKey).expect(200);
    await redis.client.hset(`{c0}:key:${body.id}`, 'expiresAt', Date.now() - 1);
    const refused = await call(body.apiKey).expect(401);
    expect(refused.body.detail).toContain('expired');
  });

  it('is rotated, with a time in which both work, or without', async () => {
    const { id, keyId, apiKey } = await create('class');
    const rotate = (key: string, body: object) =>
      admin('post', `/tenants/${id}/keys/${key}/rotate`, body).expect(201);
    const { body: second } = await rotate(keyId, { graceSeconds: 60 });
    await call(apiKey).expect(200);
    await call(second.apiKey).expect(200);
    expect(second).toMatchObject({ name: 'first', expiresAt: null });
    const { body: third } = await rotate(second.id, { expiresInSeconds: 3_600 });
    await call(second.apiKey).expect(401);
    await call(third.apiKey).expect(200);
    expect(Date.parse(third.expiresAt) - Date.parse(third.createdAt)).toBe(3_600_000);
  });

  it('of another tenant is as missing as one that never was', async () => {
    await create('class');
    const { keyId } = await create('other');
    for (const key of [keyId, 'a'.repeat(16)]) {
      await admin('delete', `/tenants/class/keys/${key}`).expect(404);
      await admin('post', `/tenants/class/keys/${key}/rotate`, {}).expect(404);
    }
  });

  it('is one of at most a hundred', async () => {
    const { id } = await create('class');
    await redis.client.sadd(`{c0}:keys:${id}`, ...Array.from({ length: 99 }, (_, i) => `k${i}`));
    await admin('post', `/tenants/${id}/keys`, {}).expect(409);
  });
});

describe('the rate', () => {
  it('is told with every answer, and a request beyond it when to come back', async () => {
    const { apiKey } = await create('class', { requestsPerSecond: 0.5, requestsBurst: 2 });
    const first = await call(apiKey).expect(200);
    expect(first.headers['ratelimit-policy']).toBe('"requests";q=2;w=4');
    expect(first.headers['ratelimit']).toBe('"requests";r=1;t=2');
    await call(apiKey).expect(200);
    const refused = await call(apiKey).expect(429);
    expect(refused.body).toMatchObject({ code: 'rate_limited' });
    expect(refused.headers['retry-after']).toBe('2');
    expect(refused.headers['ratelimit']).toBe('"requests";r=0;t=4');
  });

  it('is not used up by whoever has no key, nor by another tenant', async () => {
    const { apiKey, keyId } = await create('class', { requestsPerSecond: 0.1, requestsBurst: 1 });
    const other = await create('other');
    await call(other.apiKey.replace(other.keyId, keyId)).expect(401);
    await call(other.apiKey).expect(200);
    await call(apiKey).expect(200);
  });

  it('is refilled as time passes', async () => {
    const { apiKey } = await create('class', { requestsPerSecond: 20, requestsBurst: 1 });
    await call(apiKey).expect(200);
    await eventually(async () => (await call(apiKey)).status === 200, 1_000);
  });

  it('is counted without a word to the append-only file', async () => {
    const { apiKey, id, keyId } = await create('class');
    const directory = join(dirname(redis.socketPath), 'appendonlydir');
    const path = join(directory, 'appendonly.aof.1.incr.aof');
    await call(apiKey).expect(200);
    const before = statSync(path).size;
    for (let i = 0; i < 5; i += 1) await call(apiKey).expect(200);
    // What the platform does by itself now and then may be in it, but nothing of this tenant.
    const added = readFileSync(path, 'latin1').slice(before);
    expect(added).not.toContain(id);
    expect(added).not.toContain(keyId);
  });
});

describe('a plan', () => {
  const refusal = async (apiKey: string, body: object) =>
    (await submit(apiKey, body).expect(400)).body.issues as { path: string; message: string }[];

  it('narrows limits and sets their defaults, naming the field', async () => {
    const { apiKey } = await create('class', {
      limitMaxima: { cpuTimeMs: 2_000, memoryBytes: 64 * 1024 * 1024 },
      limitDefaults: { processes: 7, cpuTimeMs: 1_500 },
    });
    expect(await refusal(apiKey, { ...hello, limits: { cpuTimeMs: 2_001 } })).toEqual([
      { path: 'limits.cpuTimeMs', message: 'must be at most 2000 by your plan' },
    ]);
    const steps = [{ name: 'a', argv: ['true'], limits: { memoryBytes: 2 ** 30 } }];
    expect(await refusal(apiKey, { image: 'base', steps })).toMatchObject([
      { path: 'steps[0].limits.memoryBytes' },
    ]);
    await submit(apiKey).expect(202);
    const [spec = ''] = await redis.client.keys('{c0}:spec:*');
    expect(decodeSpec(await redis.client.get(spec)).spec).toMatchObject({
      limits: { cpuTimeMs: 1_500, processes: 7, memoryBytes: 64 * 1024 * 1024 },
    });
  });

  it('names the images that may be used', async () => {
    const { apiKey } = await create('class', { images: ['other'] });
    const message = 'your plan allows other';
    const steps = [{ name: 'a', argv: ['true'] }];
    expect(await refusal(apiKey, hello)).toMatchObject([
      { path: 'language', message: `needs the image base: ${message}` },
    ]);
    expect(await refusal(apiKey, { image: 'base', steps })).toMatchObject([
      { path: 'image', message: `is not allowed: ${message}` },
    ]);
  });

  it('caps what waits', async () => {
    const { apiKey } = await create('class', { queuedMax: 1 });
    await submit(apiKey).expect(202);
    const refused = await submit(apiKey).expect(429);
    expect(refused.body).toMatchObject({ code: 'queue_full' });
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
  });

  it("ends a day's CPU time, and takes work again tomorrow", async () => {
    const { id, apiKey } = await create('class', { cpuSecondsPerDay: 1 });
    await submit(apiKey).expect(202);
    const day = Math.floor(Date.now() / 86_400_000);
    await redis.client.hset(`{c0}:usage:${id}:${day}`, 'cpuMs', '1000.5');
    const refused = await submit(apiKey).expect(429);
    expect(refused.body).toMatchObject({ code: 'cpu_quota' });
    const left = 86_400 - (Math.floor(Date.now() / 1_000) % 86_400);
    expect(Math.abs(Number(refused.headers['retry-after']) - left)).toBeLessThan(5);
    await call(apiKey).expect(200);
  });
});

describe('the admin API', () => {
  it('takes no key but its own', async () => {
    const { apiKey } = await create('class');
    for (const key of [apiKey, API_KEY, `${ADMIN_KEY}x`, '']) {
      const response = await request(api.adminApp).get('/v1/admin/tenants').set(bearer(key));
      expect(response.status).toBe(401);
    }
    await call(ADMIN_KEY).expect(401);
    await request(api.app).get('/v1/admin/tenants').set(bearer(apiKey)).expect(404);
  });

  it('has a document of its own', async () => {
    const { body } = await request(api.adminApp).get('/openapi.json').expect(200);
    expect(Object.keys(body.paths)).toContain('/v1/admin/tenants/{tenant}/keys/{key}/rotate');
    expect(Object.keys(body.paths).filter((path) => !path.startsWith('/v1/admin/'))).toEqual([]);
  });
});
