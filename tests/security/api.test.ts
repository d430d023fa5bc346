import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { leftovers, nothingLeft } from '../helpers/leftovers.js';
import { startTestStack, type TestStack } from '../helpers/stack.js';
import { apiAttacks } from './api.attacks.js';

describe('the api', () => {
  let before: Set<string>;
  let stack: TestStack;
  beforeAll(async () => {
    before = leftovers();
    stack = await startTestStack();
  });
  afterAll(async () => {
    await stack.stop();
    await nothingLeft(before);
    console.info(`api: ${apiAttacks.length + 9} attacks, each with its honest twin`);
  });

  async function post(body: string, headers: Record<string, string> = {}): Promise<number> {
    const { url, apiKey } = stack.stack;
    const response = await fetch(`${url}/v1/jobs`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${apiKey}`,
        'content-type': 'application/json',
        ...headers,
      },
      body,
    });
    await response.text();
    return response.status;
  }

  /** Bytes as they are; resolves with the first line of the answer, or with nothing after a while. */
  function send(bytes: string, waitMs = 3_000): Promise<string> {
    const { hostname, port } = new URL(stack.stack.url);
    return new Promise((resolve) => {
      const socket = connect(Number(port), hostname, () => socket.write(bytes));
      const end = (line: string): void => {
        socket.destroy();
        resolve(line);
      };
      const timer = setTimeout(() => end(''), waitMs);
      socket.on('data', (data) => {
        clearTimeout(timer);
        end(data.toString().split('\r\n')[0] ?? '');
      });
      socket.on('error', () => end('reset'));
      socket.on('close', () => end(''));
    });
  }

  function head(...more: readonly string[]): string {
    const lines = [
      'POST /v1/jobs HTTP/1.1',
      'Host: x',
      `Authorization: Bearer ${stack.stack.apiKey}`,
    ];
    return [...lines, 'Content-Type: application/json', ...more, '', ''].join('\r\n');
  }
  const BODY = '{"language":"bash","source":"true"}';

  it.each(apiAttacks)('$title', async ({ evil, honest, status = [400] }) => {
    expect(await post(honest), 'the honest twin').toBe(202);
    expect(status).toContain(await post(evil));
  });

  it('cannot send headers without end', async () => {
    const length = `Content-Length: ${BODY.length}`;
    expect(await send(head(length, `X-Long: ${'x'.repeat(1_000)}`) + BODY)).toMatch(/ 202 /);
    expect(await send(head(length, `X-Long: ${'x'.repeat(100_000)}`) + BODY)).toMatch(/ 431 /);
  });

  it('cannot smuggle a second request in the body', async () => {
    const length = `Content-Length: ${BODY.length}`;
    expect(await send(head(length) + BODY)).toMatch(/ 202 /);
    expect(await send(head(length, 'Transfer-Encoding: chunked') + BODY)).toMatch(/ 400 /);
    expect(await send(head(length, 'Content-Length: 4') + BODY)).toMatch(/ 400 /);
    expect(await send(head(length, 'X-A: b\r\n C: d', 'Bad Header: x') + BODY)).toMatch(/ 400 /);
  });

  it('cannot keep others waiting by bodies that never end', async () => {
    const slow = Array.from({ length: 100 }, () => send(`${head('Content-Length: 1000')}{`, 1_500));
    const since = Date.now();
    expect(await post(BODY)).toBe(202);
    expect(Date.now() - since).toBeLessThan(1_500);
    // The twin: a body that ends is answered, the slow ones are not.
    expect(new Set(await Promise.all(slow))).toEqual(new Set(['']));
  });

  it('cannot learn whether a foreign job exists', async () => {
    const mine = await stack.submit({ language: 'bash', source: 'true' }, 10);
    expect((await stack.call('GET', `/v1/jobs/${mine.id}`)).status).toBe(200);
    const other = `${mine.id.slice(0, -1)}${mine.id.endsWith('a') ? 'b' : 'a'}`;
    const answers = [other, 'job_', '%2e%2e%2f', `${mine.id}%00`].map(async (id) => {
      const { status, body } = await stack.call('GET', `/v1/jobs/${id}`);
      return `${status} ${(body as { code: string }).code}`;
    });
    expect(new Set(await Promise.all(answers))).toEqual(new Set(['404 not_found']));
  });

  it.each([
    ['no key', ''],
    ['a prefix of the key', 'prefix'],
    ['a key of a megabyte of zeros', '0'.repeat(10_000)],
  ])('cannot get in with %s', async (_what, kind) => {
    const key = kind === 'prefix' ? stack.stack.apiKey.slice(0, -1) : kind;
    expect(await post(BODY, {}), 'the honest twin').toBe(202);
    expect(await post(BODY, { authorization: `Bearer ${key}` })).toBe(401);
  });

  it('cannot write lines of its own into the log', async () => {
    await post(BODY, { 'x-request-id': 'honest-id' });
    const line = `Content-Length: ${BODY.length}`;
    await send(head(line, 'X-Request-Id: evil\u0001{"level":60}') + BODY);
    await stack.call('GET', '/v1/jobs/evil%0a%7b%22level%22%3a60%7d');
    const lines = stack.log().trimEnd().split('\n');
    expect(lines.some((text) => text.includes('honest-id'))).toBe(true);
    expect(lines.filter((text) => text.startsWith('{"level":60}'))).toEqual([]);
  });

  it('cannot change what objects inherit, by environment or metadata', async () => {
    const evil =
      '{"language":"bash","source":"true","env":{"__proto__":"x"},"metadata":{"__proto__":{"polluted":1}}}';
    expect([202, 400]).toContain(await post(evil));
    const { body } = await stack.call('POST', '/v1/jobs?wait=10', {
      language: 'bash',
      source: 'env',
      metadata: { a: 1 },
    });
    expect(body).toMatchObject({ status: 'finished', metadata: { a: 1 } });
    expect(JSON.stringify(body)).not.toContain('polluted');
  });
});
