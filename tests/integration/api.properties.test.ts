// Whatever is sent to any operation of the document: the answer is one that the document has, and no 500.
import fc from 'fast-check';
import request from 'supertest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { operationsOf, type Document, type Operation } from '../helpers/answers.js';
import { ADMIN_KEY, API_KEY, startApi, type TestApi } from '../helpers/api.js';
import { startRedis, type TestRedis } from '../helpers/redis.js';
import { arbitraryOf } from '../helpers/schema-arbitrary.js';

let redis: TestRedis;
let api: TestApi;

beforeAll(async () => {
  redis = await startRedis(['--appendonly', 'no']);
  api = await startApi(redis.url);
});

afterAll(async () => {
  await api.close();
  await redis.stop();
});

const RUNS = 40;

interface Sent {
  readonly path: Readonly<Record<string, unknown>>;
  readonly query: Readonly<Record<string, unknown>>;
  readonly header: Readonly<Record<string, unknown>>;
  readonly body: unknown;
}

function requestsOf(document: Document, { parameters = [], requestBody }: Operation) {
  const part = (where: 'path' | 'query' | 'header') =>
    fc.record(
      Object.fromEntries(
        parameters
          .filter((each) => each.in === where)
          .map(({ name, schema }) => [name, arbitraryOf(document, schema)]),
      ),
      where === 'path' ? {} : { requiredKeys: [] },
    );
  const schema = requestBody?.content?.['application/json']?.schema;
  return fc.record({
    path: part('path'),
    query: part('query'),
    header: part('header'),
    body: schema === undefined ? fc.constant(undefined) : arbitraryOf(document, schema),
  }) as fc.Arbitrary<Sent>;
}

function segment(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  try {
    return encodeURIComponent(text) || 'x';
  } catch {
    // Half a surrogate pair has no place in a URL.
    return 'x';
  }
}

/** One that HTTP can carry. */
function headerText(value: unknown): string {
  return (typeof value === 'string' ? value : JSON.stringify(value)).replace(/[^\x20-\x7e]/g, '?');
}

async function send(
  app: TestApi['app'],
  key: string,
  { method, path }: { readonly method: string; readonly path: string },
  sent: Sent,
) {
  const url = path.replace(/\{(\w+)\}/g, (_whole, name: string) => segment(sent.path[name]));
  const query = Object.entries(sent.query).map(([name, value]) => `${name}=${segment(value)}`);
  // A job that is waited for would hold the test up, and waiting is not what is tried here.
  const wanted = query.filter((each) => !/^wait=\d/.test(each)).join('&');
  const agent = request(app);
  let call = agent[method as 'post'](`${url}?${wanted}`).set('Authorization', `Bearer ${key}`);
  for (const [name, value] of Object.entries(sent.header)) call = call.set(name, headerText(value));
  if (sent.body === undefined) return await call;
  return await call.set('Content-Type', 'application/json').send(JSON.stringify(sent.body));
}

describe('an operation', () => {
  it(
    'never answers with a 500, nor with what is not in the document',
    { timeout: 120_000 },
    async () => {
      let answered = 0;
      for (const [app, key] of [
        [api.app, API_KEY],
        [api.adminApp, ADMIN_KEY],
      ] as const) {
        const document = (await request(app).get('/openapi.json')).body as Document;
        for (const { path, method, operation } of operationsOf(document)) {
          await fc.assert(
            fc.asyncProperty(requestsOf(document, operation), async (sent) => {
              const { status, text } = await send(app, key, { method, path }, sent);
              answered += 1;
              expect(status, text).not.toBe(500);
            }),
            { numRuns: RUNS },
          );
        }
      }
      expect(answered).toBeGreaterThan(RUNS * 15);
      expect(api.violations()).toEqual([]);
    },
  );
});
