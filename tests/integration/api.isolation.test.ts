// Another tenant's things are as missing as what never was: the same status, headers and body, and
// nothing of the owner changes or is counted. Walks whatever the OpenAPI document has.
import { createHash } from 'node:crypto';
import request from 'supertest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Job } from '../../services/contract/job.js';
import type { CreatedTenant } from '../../services/contract/tenant.js';
import type { TaskSource } from '../../services/platform/task-source.js';
import { operationsOf, type Document } from '../helpers/answers.js';
import { ADMIN_KEY, startApi, type TestApi } from '../helpers/api.js';
import { eventually } from '../helpers/eventually.js';
import { createGate, finished, startFakeExecutor, untilStopped } from '../helpers/fake-executor.js';
import { echo, startReplica } from '../helpers/jobs.js';
import { startRedis, type TestRedis } from '../helpers/redis.js';

let redis: TestRedis;
let api: TestApi;
let owner: CreatedTenant;
let stranger: CreatedTenant;
let executor: TaskSource;

beforeAll(async () => {
  redis = await startRedis();
  api = await startApi(redis.url);
  owner = await api.tenants.create('owner');
  stranger = await api.tenants.create('stranger');
  executor = await startFakeExecutor(redis.url, (task, signal) =>
    task.spec.stdin.content === 'endless'
      ? untilStopped(task, signal)
      : Promise.resolve(finished(task)),
  );
});

afterAll(async () => {
  await executor.drain(0);
  await api.close();
  await redis.stop();
});

const bearer = ({ apiKey }: CreatedTenant) => ({ Authorization: `Bearer ${apiKey}` });
const job = { language: 'python', source: 'print(1)', collect: ['out.txt'] };

type Method = 'get' | 'post' | 'put' | 'patch' | 'delete' | 'head';

/** Bodies with which each operation would do something, were the thing the caller's. */
const BODIES: Readonly<Record<string, object>> = {
  writeStdin: { data: 'x' },
  signalJob: { signal: 'SIGTERM' },
  changeLimits: { cpus: 1 },
};

async function submit(body: object): Promise<string> {
  const response = await request(api.app).post('/v1/jobs').set(bearer(owner)).send(body);
  return response.body.id as string;
}

/** Everything that is written about the owner, save what its own requests change. */
async function recordsOfOwner(ids: readonly string[]): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  for (const key of (await redis.client.keys('{c0}:*')).sort()) {
    if (!ids.some((id) => key.includes(id.replace(/^job_/, '')))) continue;
    const type = await redis.client.type(key);
    if (type === 'hash') found[key] = await redis.client.hgetall(key);
    else if (type === 'zset') found[key] = await redis.client.zrange(key, '0', '-1', 'WITHSCORES');
    else if (type === 'set') found[key] = (await redis.client.smembers(key)).sort();
    else if (type === 'string') found[key] = await redis.client.get(key);
  }
  return found;
}

function comparable(response: request.Response) {
  const headers = Object.fromEntries(
    Object.entries(response.headers as Record<string, string>).filter(
      ([name]) => !['date', 'x-request-id', 'ratelimit'].includes(name),
    ),
  );
  const body: object = response.body;
  return { status: response.status, headers, body: { ...body, requestId: '' } };
}

describe('every route with the id of another tenant', () => {
  it('answers as to an id that never was, and changes and counts nothing', async () => {
    const running = await submit({ ...job, stdin: 'endless' });
    await eventually(() => executor.count() === 1);
    const ended = await submit({ ...job, stdin: 'x' });
    await request(api.app).get(`/v1/jobs/${ended}?wait=10`).set(bearer(owner)).expect(200);
    const content = 'the owner’s file';
    const sha256 = createHash('sha256').update(content).digest('hex');
    await request(api.app)
      .put(`/v1/blobs/${sha256}`)
      .set({ ...bearer(owner), 'Content-Type': 'application/octet-stream' })
      .send(content);

    const document = (await request(api.app).get('/openapi.json')).body as Document;
    const before = await recordsOfOwner([owner.id, running, ended, sha256]);
    expect(Object.keys(before).length).toBeGreaterThan(4);
    const walked: string[] = [];
    for (const { path, method, operation } of operationsOf(document)) {
      const id = /\{(\w+)\}/.exec(path)?.[1];
      // Uploading is how a tenant comes by a blob of its own.
      if (id === undefined || operation.operationId === 'putBlob') continue;
      const foreign = id === 'sha256' ? [sha256] : [running, ended];
      const missing = id === 'sha256' ? 'f'.repeat(64) : `job_${'a'.repeat(26)}`;
      const call = (value: string) => {
        const url = path.replace(`{${id}}`, value).replace(/\{\w+\}/g, 'out.txt');
        const sent = request(api.app)[method as Method](url).set(bearer(stranger));
        const body = BODIES[operation.operationId];
        return operation.requestBody === undefined ? sent : sent.send(body ?? {});
      };
      const expected = comparable(await call(missing));
      expect(expected.status, operation.operationId).toBeGreaterThanOrEqual(400);
      for (const value of foreign) {
        expect(comparable(await call(value)), operation.operationId).toEqual(expected);
      }
      walked.push(operation.operationId);
    }
    expect(walked).toEqual(expect.arrayContaining(['getJob', 'cancelJob']));
    expect(await recordsOfOwner([owner.id, running, ended, sha256])).toEqual(before);
  });

  it('shows nothing of it in lists, usage and languages', async () => {
    const id = await submit({ ...job, metadata: { secret: 'of-the-owner' } });
    for (const path of ['/v1/jobs', '/v1/usage', '/v1/languages', '/v1/images']) {
      const response = await request(api.app).get(path).set(bearer(stranger)).expect(200);
      expect(response.text).not.toContain(id);
      expect(response.text).not.toContain('of-the-owner');
      expect(response.text).not.toContain(owner.id);
    }
  });

  it('cannot be reached with the key of another listener', async () => {
    for (const [app, key, path] of [
      [api.adminApp, owner.apiKey, '/v1/admin/tenants'],
      [api.app, ADMIN_KEY, '/v1/jobs'],
    ] as const) {
      await request(app).get(path).set('Authorization', `Bearer ${key}`).expect(401);
    }
  });
});

describe('a thousand who wait', () => {
  it(
    'are all answered when the subscriber is cut off, none by time-out',
    { timeout: 120_000 },
    async () => {
      await executor.drain(0);
      const replica = await startReplica(redis.url);
      const gate = createGate();
      const slow = await startFakeExecutor(redis.url, gate.runner, 8);
      const limitMs = 60_000;
      const waited: Promise<Job>[] = [];
      // In waves, because to be taken in is not what is tried here.
      while (waited.length < 1_000) {
        for (let i = 0; i < 50; i += 1)
          waited.push(replica.jobs.submit(owner.id, echo('x'), limitMs));
        await eventually(
          async () => (await redis.client.zcard(`{c0}:jobs:${owner.id}`)) >= waited.length,
        );
      }
      await eventually(gate.entered);
      const asked = Date.now();
      gate.open();
      // In the middle of it, and again: what is announced meanwhile is heard by nobody.
      for (let i = 0; i < 5; i += 1) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        await redis.client.call('CLIENT', 'KILL', 'TYPE', 'PUBSUB');
      }
      const jobs = await Promise.all(waited);
      expect(jobs.filter(({ status }) => status !== 'finished')).toEqual([]);
      expect(Date.now() - asked).toBeLessThan(limitMs);
      await slow.drain(0);
      await replica.close();
    },
  );
});
