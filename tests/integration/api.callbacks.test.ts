import { createHmac } from 'node:crypto';
import request from 'supertest';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { CollectedFile, Job } from '../../services/contract/job.js';
import { startCallbacks } from '../../services/api/callbacks.js';
import { createCallbackAddresses } from '../../services/platform/callback-address.js';
import { createCallbackBody } from '../../services/platform/callback-body.js';
import { createCallbackBook } from '../../services/platform/callback-book.js';
import { createCallbackPost } from '../../services/platform/callback-post.js';
import {
  createCallbackSender,
  type CallbackSender,
} from '../../services/platform/callback-sender.js';
import { createJobReader } from '../../services/platform/job-reader.js';
import { DEFAULT_CELL } from '../../services/platform/keys.js';
import { createLogger } from '../../services/platform/logger.js';
import { NO_METRICS } from '../../services/platform/metrics.js';
import type { TaskSource } from '../../services/platform/task-source.js';
import { API_KEY, startApi, type TestApi } from '../helpers/api.js';
import { startReceiver, type Receiver } from '../helpers/callback-receiver.js';
import { eventually } from '../helpers/eventually.js';
import { startFakeExecutor, workOf } from '../helpers/fake-executor.js';
import { startRedis, type TestRedis } from '../helpers/redis.js';

const secret = 'the secret of the receiver';
const bearer = { Authorization: `Bearer ${API_KEY}` };
const addresses = createCallbackAddresses('127.0.0.1/32@*');
const many: CollectedFile[] = Array.from({ length: 40 }, (_, i) => ({
  path: `f${i}`,
  bytes: 10_000,
  content: String(i % 10).repeat(10_000),
  encoding: 'utf8',
}));

let redis: TestRedis;
let api: TestApi;
let executor: TaskSource;
let senders: CallbackSender[];
let receiver: Receiver;

/** As two API processes would. */
function startSender(): CallbackSender {
  const client = api.replica.redis;
  return createCallbackSender({
    book: createCallbackBook(client, DEFAULT_CELL),
    bodyOf: createCallbackBody({ reader: createJobReader(client, DEFAULT_CELL), blobs: api.blobs }),
    post: createCallbackPost({ addresses }),
    logger: createLogger('test', 'silent'),
    lookEveryMs: 10,
    backoffMs: 10,
    backoffMsMax: 40,
  });
}

beforeAll(async () => {
  redis = await startRedis();
  api = await startApi(redis.url, undefined, { callbackAddresses: addresses });
  executor = await startFakeExecutor(redis.url, (task) => {
    const files = task.spec.stdin.content === 'large' ? many : [];
    return Promise.resolve({ status: 'finished', work: { ...workOf(task), files } });
  });
  senders = [startSender(), startSender()];
});
afterAll(async () => {
  await Promise.all(senders.map((sender) => sender.close()));
  await executor.drain(0);
  await api.close();
  await redis.stop();
});
afterEach(() => receiver.close());

async function submit(url: string, stdin = 'hello'): Promise<Job> {
  const job = { language: 'python', source: '', stdin, callback: { url, secret } };
  const response = await request(api.app).post('/v1/jobs').set(bearer).send(job).expect(202);
  return response.body as Job;
}
async function read(id: string): Promise<Job> {
  return (await request(api.app).get(`/v1/jobs/${id}`).set(bearer).expect(200)).body as Job;
}
const stateOf = async (id: string) => (await read(id)).callback?.state;

function verify({ headers, body }: Receiver['received'][0]): boolean {
  const [t, v1] = (headers['mayfly-signature'] ?? '').split(',').map((part) => part.split('=')[1]);
  return createHmac('sha256', secret).update(`${t}.${body}`).digest('hex') === v1;
}

describe('a callback', () => {
  it('brings the job that ended, once, and says on the job how it stands', async () => {
    receiver = await startReceiver((_request, response) => response.writeHead(204).end());
    const job = await submit(receiver.url);
    expect(job.callback).toEqual({
      state: 'pending',
      attempts: 0,
      nextAttemptAt: null,
      lastStatus: null,
    });
    await eventually(async () => (await stateOf(job.id)) === 'delivered');
    const { callback, ...rest } = await read(job.id);
    expect(callback).toEqual({
      state: 'delivered',
      attempts: 1,
      nextAttemptAt: null,
      lastStatus: 204,
    });
    expect(receiver.received).toHaveLength(1);
    const [delivery] = receiver.received as [Receiver['received'][0]];
    expect(verify(delivery)).toBe(true);
    const { callback: _then, ...posted } = JSON.parse(delivery.body) as Job;
    expect(posted).toEqual(rest);
  });

  it('is repeated under one id and with one body until its receiver works again', async () => {
    let refused = 0;
    receiver = await startReceiver((_request, response) => {
      const works = refused >= 30;
      refused += 1;
      response.writeHead(works ? 200 : 503).end();
    });
    const jobs = await Promise.all([1, 2, 3].map((each) => submit(receiver.url, `${each}`)));
    for (const { id } of jobs) {
      await eventually(async () => (await stateOf(id)) === 'delivered', 20_000);
      const mine = receiver.received.filter(({ body }) => (JSON.parse(body) as Job).id === id);
      expect((await read(id)).callback).toMatchObject({ attempts: mine.length, lastStatus: 200 });
      expect(new Set(mine.map(({ headers }) => headers['mayfly-delivery'])).size).toBe(1);
      expect(new Set(mine.map(({ body }) => body)).size).toBe(1);
      expect(mine.every(verify)).toBe(true);
    }
    // Thirty were refused, and each of the three was taken once.
    expect(receiver.received).toHaveLength(33);
    const ids = receiver.received.map(({ headers }) => headers['mayfly-delivery']);
    expect(new Set(ids).size).toBe(3);
  });

  it('outlives the job, and leaves nothing behind', async () => {
    let works = false;
    receiver = await startReceiver((_request, response) =>
      response.writeHead(works ? 200 : 500).end(),
    );
    const { id } = await submit(receiver.url);
    await eventually(async () => ((await read(id)).callback?.attempts ?? 0) > 2);
    await redis.client.del(`${DEFAULT_CELL}:job:${id}`, `${DEFAULT_CELL}:result:${id}`);
    works = true;
    const before = receiver.received.length;
    await eventually(() => receiver.received.length > before);
    await eventually(async () => (await redis.client.keys('*callback*')).every(isOfKeptJob));
    const last = JSON.parse(receiver.received.at(-1)?.body ?? '') as Job;
    expect(last).toMatchObject({ id, status: 'finished', run: { stdout: 'hello' } });
    expect((await redis.client.keys('*callback*')).filter((name) => name.includes(id))).toEqual([]);
  });

  it('comes with blobs in place of what is heavy', async () => {
    receiver = await startReceiver((_request, response) => response.end());
    const { id } = await submit(receiver.url, 'large');
    await eventually(async () => (await stateOf(id)) === 'delivered');
    const body = receiver.received[0]?.body ?? '';
    expect(Buffer.byteLength(body)).toBeLessThan(256 * 1024);
    const { files = [] } = JSON.parse(body) as Job;
    expect(files).toHaveLength(40);
    const [first] = files as [CollectedFile & { blob: string }];
    expect(first).toEqual({ path: 'f0', bytes: 10_000, blob: first.blob });
    const blob = await request(api.app).get(`/v1/blobs/${first.blob}`).set(bearer).expect(200);
    expect((blob.body as Buffer).toString()).toBe('0'.repeat(10_000));
  });

  it('has a secret that is in no answer, no body, and no record once it is over', async () => {
    receiver = await startReceiver((_request, response) => response.end());
    const { id } = await submit(receiver.url);
    await eventually(async () => (await stateOf(id)) === 'delivered');
    expect(JSON.stringify(await read(id))).not.toContain(secret);
    expect(receiver.received[0]?.body).not.toContain(secret);
    expect(await redis.client.exists(`${DEFAULT_CELL}:callback-secret:${id}`)).toBe(0);
    expect(JSON.stringify(await redis.client.hgetall(`${DEFAULT_CELL}:job:${id}`))).not.toContain(
      secret,
    );
  });

  it('is told at once, and does not wait for somebody to look', async () => {
    await Promise.all(senders.map((sender) => sender.close()));
    const { redis: client, subscriber } = api.replica;
    const sender = startCallbacks({
      redis: client,
      subscriber,
      cell: DEFAULT_CELL,
      blobs: api.blobs,
      addresses,
      logger: createLogger('test', 'silent'),
      metrics: NO_METRICS,
      lookEveryMs: 3_600_000,
    });
    receiver = await startReceiver((_request, response) => response.end());
    // More than one tenant may have under way: the others follow as these end.
    const jobs = await Promise.all(Array.from({ length: 10 }, () => submit(receiver.url)));
    for (const { id } of jobs) {
      await eventually(async () => (await stateOf(id)) === 'delivered');
    }
    expect(receiver.received).toHaveLength(10);
    await sender.close();
    senders = [startSender(), startSender()];
  });

  it('holds up nobody else when its receiver is slow', async () => {
    receiver = await startReceiver((request, response) => {
      if (request.url !== '/slow') response.end();
    });
    for (let i = 0; i < 10; i += 1) await submit(`${receiver.url}/slow`);
    await eventually(() => receiver.received.length === 4);
    const other = await api.tenants.create('patient');
    const job = { language: 'python', source: '', callback: { url: receiver.url, secret } };
    await request(api.app)
      .post('/v1/jobs')
      .set({ Authorization: `Bearer ${other.apiKey}` })
      .send(job)
      .expect(202);
    await eventually(() => receiver.received.some(({ url }) => url === '/'));
    // Of the slow ones no more than four are under way.
    expect(receiver.received.filter(({ url }) => url === '/slow')).toHaveLength(4);
  });
});

/** What is left of a callback while its job can be read. */
function isOfKeptJob(name: string): boolean {
  return name.startsWith(`${DEFAULT_CELL}:callback:job_`);
}

describe('a callback that cannot be', () => {
  it.each([
    ['ftp://example.com/', 'https:// or http://'],
    ['https://user:password@example.com/', 'name or password'],
    ['nonsense', 'a URL'],
    ['http://169.254.169.254/latest', 'not allowed'],
    ['http://[::ffff:127.0.0.1]/', 'not allowed'],
    ['http://10.0.0.1/', 'not allowed'],
  ])('to %s is refused when it is asked for', async (url, why) => {
    receiver = await startReceiver((_request, response) => response.end());
    const job = { language: 'python', source: '', callback: { url, secret } };
    const { body } = await request(api.app).post('/v1/jobs').set(bearer).send(job).expect(400);
    expect(body.issues).toMatchObject([{ path: 'callback.url' }]);
    expect(body.issues[0].message).toContain(why);
    expect(JSON.stringify(body)).not.toContain(secret);
  });
});
