/** What clients hold open cannot make the API's memory grow without bounds. */
import { request as httpRequest, type ClientRequest } from 'node:http';
import request from 'supertest';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { LARGEST_AT_ONCE } from '../../services/api/body-budget.js';
import { listen } from '../../services/api/listen.js';
import { API_KEY, BODY_BYTES_MAX, startApi, type TestApi } from '../helpers/api.js';
import { eventually } from '../helpers/eventually.js';
import { startRedis, type TestRedis } from '../helpers/redis.js';

let redis: TestRedis;
let api: TestApi;
let server: Awaited<ReturnType<typeof listen>>;

beforeAll(async () => {
  redis = await startRedis();
  api = await startApi(redis.url);
  server = await listen(api.app, '127.0.0.1', 0);
});
afterAll(async () => {
  letGo();
  await server.close();
  await api.close();
  await redis.stop();
});

const headers = { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' };

const held: ClientRequest[] = [];
const WITH_LENGTH = { 'content-length': BODY_BYTES_MAX };
const CHUNKED = { 'transfer-encoding': 'chunked' };

function letGo(): void {
  for (const call of held) call.destroy();
}

/** Announces a body, and never sends it whole. */
function begin(length: object): ClientRequest {
  const call = httpRequest(`${server.url}/v1/jobs`, {
    method: 'POST',
    headers: { ...headers, ...length },
  });
  call.on('error', () => undefined);
  call.write('{');
  return call;
}

const submit = () =>
  request(server.url).post('/v1/jobs').set(headers).send({ language: 'python', source: '1' });

it('refuses with 503 capacity before a body is read when too much is being received', async () => {
  // One more at each try: one that arrives while a whole body is being read is refused in its stead.
  await eventually(async () => {
    held.push(begin(held.length % 2 === 0 ? WITH_LENGTH : CHUNKED));
    return (await submit()).status === 503;
  });
  expect(held.length).toBeGreaterThanOrEqual(LARGEST_AT_ONCE);
  const refused = await submit();
  expect(refused.body).toMatchObject({ code: 'capacity', status: 503 });
  expect(refused.headers['retry-after']).toBe('10');
  letGo();
  await eventually(async () => (await submit()).status === 202);
});
