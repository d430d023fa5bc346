import { createHash, randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import request from 'supertest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listen, type Listening } from '../../services/api/listen.js';
import { DEFAULT_TENANT_ID as TENANT } from '../../services/contract/tenant.js';
import { DEFAULT_CELL } from '../../services/platform/keys.js';
import { ADMIN_KEY, API_KEY, startApi, type TestApi } from '../helpers/api.js';
import { startRedis, type TestRedis } from '../helpers/redis.js';

let redis: TestRedis;
let api: TestApi;

const bearer = { Authorization: `Bearer ${API_KEY}` };
let other = { Authorization: '' };
let otherId = '';

beforeAll(async () => {
  redis = await startRedis();
  api = await startApi(redis.url);
  const { body } = await request(api.adminApp)
    .post('/v1/admin/tenants')
    .set({ Authorization: `Bearer ${ADMIN_KEY}` })
    .send({ name: 'other' })
    .expect(201);
  other = { Authorization: `Bearer ${body.apiKey}` };
  otherId = body.id;
});
afterAll(async () => {
  await api.close();
  await redis.stop();
});

const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex');
const pathOf = (content: Buffer): string => `/v1/blobs/${sha256(content)}`;

function put(content: Buffer, path = pathOf(content), as = bearer) {
  const type = { 'Content-Type': 'application/octet-stream' };
  return request(api.app).put(path).set(as).set(type).send(content);
}
const get = (content: Buffer, as = bearer) =>
  request(api.app)
    .get(pathOf(content))
    .set(as)
    .buffer(true)
    .parse((response, done) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => done(null, Buffer.concat(chunks)));
    });
const head = (content: Buffer, as = bearer) => request(api.app).head(pathOf(content)).set(as);

const tenantKey = (kind: string, tenant = TENANT): string => `${DEFAULT_CELL}:${kind}:${tenant}`;

describe('blobs', () => {
  it('that come too many at once are refused', async () => {
    const until = Date.now() + 60_000;
    const underWay = Array.from({ length: 64 }, (_, i) => [until, `upload-${i} 1`]).flat();
    await redis.client.zadd(tenantKey('blob-uploads'), ...underWay);
    const { body, headers } = await put(randomBytes(10)).expect(429);
    expect(body.code).toBe('uploads_full');
    expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    await redis.client.del(tenantKey('blob-uploads'));
  });

  it.each([0, 1, 3_000_000])('of %d bytes are kept and handed out as they are', async (bytes) => {
    const content = randomBytes(bytes);
    await head(content).expect(404);
    const { body } = await put(content).expect(200);
    expect(body).toEqual({ sha256: sha256(content), bytes });
    const { headers } = await head(content).expect(200);
    expect(headers).toMatchObject({
      'content-length': String(bytes),
      etag: `"${sha256(content)}"`,
      'accept-ranges': 'bytes',
      'x-content-type-options': 'nosniff',
      'content-type': 'application/octet-stream',
      'content-disposition': 'attachment',
    });
    const got = await get(content).expect(200);
    expect((got.body as Buffer).equals(content)).toBe(true);
  });

  it('that are there already are not read again', async () => {
    const content = randomBytes(1_000);
    await put(content).expect(200);
    // What comes under their name does not matter, and is not looked at.
    const { body } = await put(randomBytes(1_000), pathOf(content)).expect(200);
    expect(body.sha256).toBe(sha256(content));
    const got = await get(content).expect(200);
    expect((got.body as Buffer).equals(content)).toBe(true);
  });

  it('are handed out in parts', async () => {
    const content = randomBytes(100_000);
    await put(content).expect(200);
    const part = await get(content).set('Range', 'bytes=10-19').expect(206);
    expect((part.body as Buffer).equals(content.subarray(10, 20))).toBe(true);
    expect(part.headers['content-range']).toBe('bytes 10-19/100000');
    const end = await get(content).set('Range', 'bytes=-5').expect(206);
    expect((end.body as Buffer).equals(content.subarray(-5))).toBe(true);
    const whole = await get(content).set('Range', 'bytes=0-1,5-6').expect(200);
    expect((whole.body as Buffer).length).toBe(100_000);
    const { body } = await request(api.app)
      .get(pathOf(content))
      .set(bearer)
      .set('Range', 'bytes=100000-')
      .expect(416);
    expect(body.code).toBe('range_not_satisfiable');
  });

  it('cannot be kept under a digest that is not theirs', async () => {
    const content = randomBytes(200_000);
    const path = pathOf(Buffer.from('another'));
    const { body } = await put(content, path).expect(422);
    expect(body.code).toBe('wrong_content');
    await head(Buffer.from('another')).expect(404);
    expect(await readdir(`${api.blobDir}/.incoming`)).toEqual([]);
    expect(await redis.client.zcard(tenantKey('blob-uploads'))).toBe(0);
  });

  it.each(['', 'a', 'A'.repeat(64), `${'a'.repeat(63)}g`])('have no name %j', async (name) => {
    await put(Buffer.from('x'), `/v1/blobs/${name}`).expect(404);
  });

  it('have to say how long they are', async () => {
    const server = await listen(api.app, '127.0.0.1', 0);
    const headers = { ...bearer, 'Transfer-Encoding': 'chunked' };
    const { status, body } = await sendTo(server, headers, 'x');
    expect([status, JSON.parse(body)]).toMatchObject([411, { code: 'length_required' }]);
    const huge = { ...bearer, 'Content-Length': String(2 ** 40) };
    expect((await sendTo(server, huge, null)).status).toBe(413);
    await server.close();
  });

  it('cannot be kept in part by a client that goes away', async () => {
    const server = await listen(api.app, '127.0.0.1', 0);
    const content = randomBytes(500_000);
    const headers = { ...bearer, 'Content-Length': String(content.length) };
    await sendTo(server, headers, content.subarray(0, 400_000), pathOf(content)).catch(() => null);
    await server.close();
    await expect.poll(() => readdir(`${api.blobDir}/.incoming`)).toEqual([]);
    await expect.poll(() => redis.client.zcard(tenantKey('blob-uploads'))).toBe(0);
    await head(content).expect(404);
    await put(content).expect(200);
  });

  it('cannot be told from missing ones by another tenant', async () => {
    const content = randomBytes(1_000);
    const missing = randomBytes(1_000);
    await put(content).expect(200);
    const answers = await Promise.all([
      request(api.app).get(pathOf(content)).set(other).expect(404),
      request(api.app).get(pathOf(missing)).set(other).expect(404),
    ]);
    const [one, two] = answers.map(({ body, headers }) => {
      const shown = { ...body, requestId: '' };
      return { shown, length: headers['content-length'] };
    });
    expect(one).toEqual(two);
    // Nor by an upload that need not be read: it is read, and refused.
    await put(missing, pathOf(content), other).expect(422);
    await put(content, pathOf(content), other).expect(200);
  });

  it('need a key', async () => {
    await request(api.app)
      .put(pathOf(Buffer.from('x')))
      .send('x')
      .expect(401);
    await request(api.app)
      .get(pathOf(Buffer.from('x')))
      .expect(401);
  });

  it('cannot be more than the plan of their tenant allows, at once either', async () => {
    const tenant = tenantKey('tenant', otherId);
    const used = Number((await redis.client.get(tenantKey('blob-bytes', otherId))) ?? 0);
    await redis.client.hset(tenant, 'blobBytesMax', String(used + 2_500_000));
    const contents = [1, 2, 3, 4].map(() => randomBytes(1_000_000));
    const answers = await Promise.all(contents.map((each) => put(each, pathOf(each), other)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 413, 413]);
    const refused = answers.find(({ status }) => status === 413);
    expect(refused?.body.code).toBe('blobs_full');
  });
});

describe('the keeper of blobs', () => {
  const expire = (content: Buffer) => redis.client.zadd(tenantKey('blobs'), 1, sha256(content));

  it('removes what nobody has used for long, and gives the room back', async () => {
    const content = randomBytes(5_000);
    await put(content).expect(200);
    const before = Number(await redis.client.get(tenantKey('blob-bytes')));
    expect(await api.blobKeeper.removeExpired()).toEqual({ blobs: 0 });
    await expire(content);
    expect(await api.blobKeeper.removeExpired()).toEqual({ blobs: 1 });
    await head(content).expect(404);
    expect(await api.blobStore.head({ tenantId: TENANT, sha256: sha256(content) })).toBeNull();
    expect(Number(await redis.client.get(tenantKey('blob-bytes')))).toBe(before - 5_000);
    await put(content).expect(200);
  });

  it('counts a look and an upload as a use', async () => {
    const content = randomBytes(10);
    await put(content).expect(200);
    await expire(content);
    await head(content).expect(200);
    expect(await api.blobKeeper.removeExpired()).toEqual({ blobs: 0 });
    await expire(content);
    await put(content).expect(200);
    expect(await api.blobKeeper.removeExpired()).toEqual({ blobs: 0 });
  });

  it('removes what is in no book, once it cannot be on its way any more', async () => {
    const content = randomBytes(10);
    const name = { tenantId: TENANT, sha256: sha256(content) };
    const once = (async function* () {
      await Promise.resolve();
      yield content;
    })();
    await api.blobStore.put(name, 10, once);
    expect(await api.blobKeeper.removeStrays()).toEqual({ blobs: 0 });
    expect(await api.blobKeeper.removeStrays(0)).toEqual({ blobs: 1 });
    expect(await api.blobStore.head(name)).toBeNull();
  });

  it('cannot remove what is uploaded anew meanwhile', async () => {
    const content = randomBytes(10);
    await put(content).expect(200);
    await expire(content);
    const book = tenantKey('blob-dying');
    await redis.client.set(`${book}:${sha256(content)}`, '1', 'PX', 300);
    await redis.client.hdel(tenantKey('blob-sizes'), sha256(content));
    await redis.client.zrem(tenantKey('blobs'), sha256(content));
    const since = Date.now();
    await put(content).expect(200);
    expect(Date.now() - since).toBeGreaterThan(200);
    await head(content).expect(200);
  });
});

function sendTo(
  { url }: Listening,
  headers: Record<string, string>,
  body: string | Buffer | null,
  path = pathOf(Buffer.from('x')),
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest(`${url}${path}`, { method: 'PUT', headers }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, body: text });
        sent.destroy();
      });
    });
    sent.on('error', reject);
    if (body === null) {
      sent.flushHeaders();
    } else if (headers['Content-Length'] === undefined) {
      sent.end(body);
    } else {
      sent.write(body, () => setTimeout(() => sent.destroy(new Error('gone')), 50));
    }
  });
}
