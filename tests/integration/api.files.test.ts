import { createHash } from 'node:crypto';
import request from 'supertest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CollectedFile } from '../../services/contract/job.js';
import type { TaskSource } from '../../services/platform/task-source.js';
import { API_KEY, startApi, type TestApi } from '../helpers/api.js';
import { startFakeExecutor, workOf } from '../helpers/fake-executor.js';
import { startRedis, type TestRedis } from '../helpers/redis.js';

const picture = Buffer.from('89504e470d0a1a0a', 'hex');
const digest = createHash('sha256').update(picture).digest('hex');
const bearer = { Authorization: `Bearer ${API_KEY}` };

const files: CollectedFile[] = [
  { path: 'out/small.txt', bytes: 5, content: 'ab\ncd', encoding: 'utf8' },
  { path: 'big.png', bytes: picture.length, blob: digest },
  { path: 'page.html', bytes: 8, content: '<script>', encoding: 'utf8' },
];

let redis: TestRedis;
let api: TestApi;
let executor: TaskSource;
let url: string;

const get = (path: string, headers: object = {}) =>
  request(api.app)
    .get(`${url}/files/${path}`)
    .set({ ...bearer, ...headers })
    .buffer(true)
    .parse((response, done) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => done(null, Buffer.concat(chunks)));
    });

beforeAll(async () => {
  redis = await startRedis();
  api = await startApi(redis.url);
  executor = await startFakeExecutor(redis.url, (task) =>
    Promise.resolve({ status: 'finished', work: { ...workOf(task), files } }),
  );
  const put = request(api.app).put(`/v1/blobs/${digest}`).set(bearer);
  await put.set('Content-Type', 'application/octet-stream').send(picture).expect(200);
  const job = { language: 'python', source: '', collect: ['**'] };
  const { body } = await request(api.app).post('/v1/jobs?wait=10').set(bearer).send(job);
  url = `/v1/jobs/${body.id}`;
});

afterAll(async () => {
  await executor.drain(0);
  await api.close();
  await redis.stop();
});

describe('GET /v1/jobs/{id}/files/{path}', () => {
  it('hands out a small file, which is part of the result', async () => {
    const response = await get('out/small.txt').expect(200);
    expect(response.body).toEqual(Buffer.from('ab\ncd'));
    expect(response.headers['content-type']).toBe('text/plain; charset=utf-8');
  });

  it('hands out a large one, which is a blob', async () => {
    const response = await get('big.png').expect(200);
    expect(response.body).toEqual(picture);
    expect(response.headers['content-type']).toBe('image/png');
  });

  it('hands out a range of either', async () => {
    const small = await get('out/small.txt', { Range: 'bytes=1-3' }).expect(206);
    expect(small.body).toEqual(Buffer.from('b\nc'));
    expect(small.headers['content-range']).toBe('bytes 1-3/5');
    const large = await get('big.png', { Range: 'bytes=-2' }).expect(206);
    expect(large.body).toEqual(picture.subarray(-2));
  });

  it('lets no browser open what may hold a script', async () => {
    const { headers } = await get('page.html').expect(200);
    expect(headers['content-disposition']).toMatch(/^attachment;/);
    expect(headers['content-security-policy']).toBe("default-src 'none'; sandbox");
  });

  it('knows no other file', async () => {
    const { status } = await get('no-such');
    expect(status).toBe(404);
  });
});
