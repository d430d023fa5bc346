import request from 'supertest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LANGUAGE_NAMES } from '../../services/contract/languages.js';
import { listen } from '../../services/api/listen.js';
import type { TaskSource } from '../../services/platform/task-source.js';
import { API_KEY, startApi, type TestApi } from '../helpers/api.js';
import { eventually } from '../helpers/eventually.js';
import { finished, startFakeExecutor, untilStopped } from '../helpers/fake-executor.js';
import { startRedis, type TestRedis } from '../helpers/redis.js';

let redis: TestRedis;
let api: TestApi;

const bearer = { Authorization: `Bearer ${API_KEY}` };
const hello = { language: 'python', source: 'print(1)', stdin: 'x' };

beforeAll(async () => {
  redis = await startRedis();
  api = await startApi(redis.url);
});

afterAll(async () => {
  await api.close();
  await redis.stop();
});

describe('the catalogue', () => {
  it('lists the languages with versions, commands and limits', async () => {
    const { body } = await request(api.app).get('/v1/languages').set(bearer).expect(200);
    expect(body.languages.map((each: { name: string }) => each.name)).toEqual(LANGUAGE_NAMES);
    expect(body.languages[0]).toMatchObject({
      name: 'python',
      version: '3.11.2',
      compile: null,
      run: { argv: ['python3', 'main.py'], limits: { cpuTimeMs: 5_000 } },
      available: true,
    });
    const java = body.languages.find((each: { name: string }) => each.name === 'java');
    expect(java).toMatchObject({ image: 'jvm', available: false, version: null });
  });

  it('lists the images', async () => {
    const { body } = await request(api.app).get('/v1/images').set(bearer).expect(200);
    expect(body.images).toMatchObject([{ name: 'base', digest: `sha256:${'0'.repeat(64)}` }]);
  });
});

describe('without a key', () => {
  it('are health and readiness, which names the check that failed', async () => {
    await request(api.app).get('/healthz').expect(200);
    const before = await request(api.app).get('/readyz').expect(503);
    expect(before.body).toEqual({
      status: 'not_ready',
      checks: { redis: 'ok', executors: 'failed' },
    });
    const executor = await startFakeExecutor(redis.url, (task) => Promise.resolve(finished(task)));
    const after = await request(api.app).get('/readyz').expect(200);
    expect(after.body.status).toBe('ready');
    await executor.drain(0);
    await request(api.app).get('/readyz').expect(503);
  });

  it('is the OpenAPI document, which refers only to what it has', async () => {
    const { body } = await request(api.app).get('/openapi.json').expect(200);
    expect(body.openapi).toBe('3.1.0');
    expect(Object.keys(body.paths)).toEqual([
      '/v1/jobs',
      '/v1/jobs/{id}',
      '/v1/batches',
      '/v1/usage',
      '/v1/blobs/{sha256}',
      '/v1/jobs/{id}/files/{path}',
      '/v1/jobs/{id}/freeze',
      '/v1/jobs/{id}/thaw',
      '/v1/jobs/{id}/limits',
      '/v1/jobs/{id}/stdin',
      '/v1/jobs/{id}/signal',
      '/v1/jobs/{id}/events',
      '/v1/jobs/{id}/attach',
      '/v1/languages',
      '/v1/images',
      '/healthz',
      '/readyz',
    ]);
    const references = JSON.stringify(body).match(/#\/[A-Za-z/]+/g) ?? [];
    expect(references.length).toBeGreaterThan(0);
    for (const reference of references) {
      const target = reference
        .split('/')
        .slice(1)
        .reduce((at, part) => at?.[part], body);
      expect(target, reference).toBeTypeOf('object');
    }
    const request_ = body.components.schemas.JobRequest;
    expect(request_.additionalProperties).toBe(false);
    expect(request_.properties.limits.properties.cpuTimeMs).toMatchObject({ minimum: 1 });
  });

  it('are the docs, from this server alone, under a strict policy', async () => {
    const page = await request(api.app).get('/docs/').expect(200);
    expect(page.text).not.toMatch(/(src|href)="https?:/);
    expect(page.headers['content-security-policy']).toContain("script-src 'self'");
    await request(api.app).get('/docs/swagger-ui-bundle.js').expect(200);
    await request(api.app)
      .get('/docs/swagger-ui-init.js')
      .expect(200)
      .expect(/openapi\.json/);
  });
});

describe('stopping', () => {
  it('lets everybody who waits go with 202, and loses no job', async () => {
    const other = await startApi(redis.url);
    const server = await listen(other.app, '127.0.0.1', 0);
    const executor: TaskSource = await startFakeExecutor(redis.url, untilStopped);
    const waiting = request(server.url).post('/v1/jobs?wait=60').set(bearer).send(hello);
    const answer = waiting.then((response) => response);
    await eventually(() => executor.count() === 1);
    other.replica.jobs.close();
    await server.close();
    const { status, body } = await answer;
    expect(status).toBe(202);
    expect(body.status).toBe('running');
    await request(api.app).delete(`/v1/jobs/${body.id}`).set(bearer).expect(200);
    await executor.drain(0);
    await other.close();
  });
});

describe('Redis', () => {
  it(
    'that is away is a 503 within three seconds, and nothing is lost',
    { timeout: 30_000 },
    async () => {
      const kept = await request(api.app).post('/v1/jobs').set(bearer).send(hello).expect(202);
      await redis.kill();
      const asked = Date.now();
      const [post, read, ready] = await Promise.all([
        request(api.app).post('/v1/jobs?wait=10').set(bearer).send(hello),
        request(api.app).get(`/v1/jobs/${kept.body.id}`).set(bearer),
        request(api.app).get('/readyz'),
      ]);
      expect(Date.now() - asked).toBeLessThan(3_000);
      for (const { status, headers, body } of [post, read]) {
        expect(status).toBe(503);
        expect(Number(headers['retry-after'])).toBeGreaterThan(0);
        expect(body.code).toBe('unavailable');
      }
      expect(ready.body.checks.redis).toBe('failed');
      await redis.restart();
      const executor = await startFakeExecutor(redis.url, (task) =>
        Promise.resolve(finished(task)),
      );
      await eventually(() => api.replica.redis.status === 'ready');
      const done = await request(api.app).get(`/v1/jobs/${kept.body.id}?wait=20`).set(bearer);
      expect(done.body.status).toBe('finished');
      await executor.drain(0);
    },
  );

  it('that hangs is a 503 within three seconds', async () => {
    redis.freeze();
    const asked = Date.now();
    const response = await request(api.app).post('/v1/jobs?wait=10').set(bearer).send(hello);
    redis.thaw();
    expect(response.status).toBe(503);
    expect(Date.now() - asked).toBeLessThan(3_000);
  });

  it('that is nearly full takes no new work, but lets be settled what it has', async () => {
    const executor = await startFakeExecutor(redis.url, untilStopped, 1);
    await eventually(() => api.replica.redis.status === 'ready');
    const { body } = await request(api.app).post('/v1/jobs').set(bearer).send(hello).expect(202);
    await eventually(() => executor.count() >= 1);
    await redis.client.config('SET', 'maxmemory', '1mb');
    await api.replica.memoryGuard.look();
    const refused = await request(api.app).post('/v1/jobs').set(bearer).send(hello).expect(503);
    expect(refused.body.code).toBe('capacity');
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    await eventually(async () => {
      const { status } = await request(api.app).get(`/v1/jobs/${body.id}`).set(bearer);
      return status === 200;
    });
    const cancelled = await request(api.app).delete(`/v1/jobs/${body.id}`).set(bearer).expect(200);
    expect(cancelled.body.status).toBe('cancelled');
    await redis.client.config('SET', 'maxmemory', '0');
    await executor.drain(0);
  });
});
