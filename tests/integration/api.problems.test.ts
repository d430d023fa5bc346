import request from 'supertest';
import { Writable } from 'node:stream';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { API_KEY, BODY_BYTES_MAX, startApi, type TestApi } from '../helpers/api.js';
import { startRedis, type TestRedis } from '../helpers/redis.js';

let redis: TestRedis;
let api: TestApi;
const lines: string[] = [];

const bearer = { Authorization: `Bearer ${API_KEY}` };
const hello = { language: 'python', source: 'print(1)' };

beforeAll(async () => {
  redis = await startRedis();
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(chunk.toString());
      done();
    },
  });
  api = await startApi(redis.url, pino(sink));
});

afterEach(async () => {
  expect(await redis.client.keys('{c0}:job:*'), 'nothing was queued').toEqual([]);
});

afterAll(async () => {
  await api.close();
  await redis.stop();
});

async function refused(body: object | string, status = 400, headers: Record<string, string> = {}) {
  const response = await request(api.app)
    .post('/v1/jobs?wait=1')
    .set({ ...bearer, 'Content-Type': 'application/json', ...headers })
    .send(typeof body === 'string' ? body : JSON.stringify(body));
  expect(response.status).toBe(status);
  expect(response.headers['content-type']).toMatch(/^application\/problem\+json/);
  expect(response.body).toMatchObject({
    status,
    requestId: response.headers['x-request-id'],
    type: `urn:mayfly:problem:${response.body.code}`,
  });
  return response.body;
}

describe('a refused request', () => {
  it.each<[string, object, string]>([
    ['an unknown language', { language: 'cobol', source: '' }, 'language'],
    ['a language whose image is not built', { language: 'java', source: '' }, 'language'],
    [
      'a work directory of another image',
      { ...hello, files: [{ path: '/mnt/data/a', content: '' }] },
      'files[0].path',
    ],
    ['a missing source', { language: 'python' }, 'source'],
    ['a missing language', {}, 'language'],
    ['a path with ..', { ...hello, files: [{ path: '../x', content: '' }] }, 'files[0].path'],
    [
      'an absolute path elsewhere',
      { ...hello, files: [{ path: '/etc/x', content: '' }] },
      'files[0].path',
    ],
    ['NUL in an argument', { ...hello, args: ['a\0b'] }, 'args[0]'],
    ['a limit of zero', { ...hello, limits: { cpuTimeMs: 0 } }, 'limits.cpuTimeMs'],
    ['a limit too high', { ...hello, limits: { memoryBytes: 2 ** 40 } }, 'limits.memoryBytes'],
    [
      'a disk that is all of the memory',
      { ...hello, limits: { diskBytes: 268435456 } },
      'limits.diskBytes',
    ],
    ['a wrong encoding', { ...hello, stdin: 'x', stdinEncoding: 'latin1' }, 'stdinEncoding'],
    ['base64 that is none', { ...hello, stdin: '%%%%', stdinEncoding: 'base64' }, 'stdin'],
    ['an unknown field', { ...hello, colour: 'red' }, 'colour'],
    ['an image that is not there', { image: 'none', steps: [{ name: 'a', argv: ['x'] }] }, 'image'],
  ])('names the field: %s', async (_what, body, path) => {
    const problem = await refused(body);
    expect(problem.code).toBe('invalid_request');
    expect(problem.issues.map((issue: { path: string }) => issue.path)).toContain(path);
    expect(problem.detail).toContain(path);
  });

  it.each(['{"language": ', 'nonsense', '', '[1,]'])('is not JSON: %j', async (text) => {
    const problem = await refused(text);
    expect(problem.code).toBe(text === '' ? 'invalid_request' : 'invalid_json');
  });

  it('is JSON, but not an object', async () => {
    expect(await refused('5')).toMatchObject({ code: 'invalid_request' });
  });

  it('is not UTF-8', async () => {
    const response = await request(api.app)
      .post('/v1/jobs')
      .set({ ...bearer, 'Content-Type': 'application/json' })
      .serialize((body: unknown) => body as string)
      .send(Buffer.from('{"language":"python","source":"\xff"}', 'latin1') as unknown as string);
    expect(response.status).toBe(400);
    expect(response.body).toMatchObject({ code: 'invalid_json' });
  });

  it('nests deeper than any stack', async () => {
    const deep = 20_000;
    const metadata = `${'['.repeat(deep)}${']'.repeat(deep)}`;
    const problem = await refused(`{"language":"python","source":"","metadata":{"a":${metadata}}}`);
    expect(problem.issues).toEqual([
      { path: 'metadata', message: 'must be at most 4096 bytes of JSON' },
    ]);
  });

  it('is too large', async () => {
    const body = { ...hello, source: 'x'.repeat(BODY_BYTES_MAX) };
    expect(await refused(body, 413)).toMatchObject({ code: 'payload_too_large' });
  });

  it('has another content type, charset or coding', async () => {
    for (const headers of [
      { 'Content-Type': 'text/plain' },
      { 'Content-Type': 'application/json; charset=latin1' },
      { 'Content-Encoding': 'made-up' },
    ]) {
      expect(await refused(hello, 415, headers)).toMatchObject({ code: 'unsupported_media_type' });
    }
  });

  it('waits longer than allowed, or for something that is no time', async () => {
    for (const wait of ['61', '-1', 'x', '1e1', '', '1&wait=2']) {
      const response = await request(api.app)
        .post(`/v1/jobs?wait=${wait}`)
        .set(bearer)
        .send(hello)
        .expect(400);
      expect(response.body.issues[0].path).toBe('wait');
    }
    const unknown = await request(api.app).post('/v1/jobs?weight=1').set(bearer).send(hello);
    expect(unknown.body.issues).toEqual([{ path: 'weight', message: 'is not a known field' }]);
  });

  it('has no key, or a wrong one', async () => {
    for (const Authorization of [
      '',
      'Bearer',
      'Bearer wrong',
      `Basic ${API_KEY}`,
      `Bearer ${API_KEY}x`,
    ]) {
      const response = await request(api.app).post('/v1/jobs').set({ Authorization }).send(hello);
      expect(response.status).toBe(401);
      expect(response.body).toMatchObject({ code: 'unauthenticated' });
      expect(response.headers['www-authenticate']).toBe('Bearer');
    }
    await request(api.app).get('/v1/languages').expect(401);
  });

  it('goes to a path or a method that is not there', async () => {
    const path = await request(api.app).get('/v1/nothing').set(bearer).expect(404);
    expect(path.body).toMatchObject({ code: 'not_found' });
    const method = await request(api.app).put('/v1/jobs').set(bearer).expect(405);
    expect(method.body).toMatchObject({ code: 'method_not_allowed' });
    expect(method.headers.allow).toBe('POST, GET');
    await request(api.app).get('/v1/jobs/%ff').set(bearer).expect(400);
  });
});

describe('what nobody expected', () => {
  it('is a 500 that tells nothing, and a line in the log that tells it', async () => {
    lines.length = 0;
    // A record that no version of ours can have written.
    const id = `job_${'b'.repeat(26)}`;
    await redis.client.hset(`{c0}:job:${id}`, { tenant: 'default', status: 'sideways' });
    const response = await request(api.app).get(`/v1/jobs/${id}`).set(bearer).expect(500);
    expect(response.body).toMatchObject({ code: 'internal' });
    expect(response.text).not.toContain('sideways');
    expect(lines.join('')).toContain('unexpected failure');
    await redis.client.del(`{c0}:job:${id}`);
  });
});

describe('the log', () => {
  it('names requests by id, keeps to one line each, and never holds the key', async () => {
    lines.length = 0;
    await request(api.app)
      .get(`/v1/jobs/${'x'.repeat(2_000)}%0a`)
      .set({ ...bearer, 'X-Request-Id': 'mine.1' })
      .expect(404);
    await request(api.app)
      .get('/v1/jobs/x')
      .set({ ...bearer, 'X-Request-Id': 'a b' });
    const text = lines.join('');
    expect(text).toContain('mine.1');
    expect(text).not.toContain('a b');
    expect(text).not.toContain(API_KEY);
    for (const line of text.trimEnd().split('\n')) expect(line.length).toBeLessThan(2_000);
  });
});
