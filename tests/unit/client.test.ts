import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createClient, type Client } from '../../services/client/client.js';
import { ConnectionError, MayflyError, retryAfterMs } from '../../services/client/errors.js';
import { framesOf, outputOf } from '../../services/client/events.js';

type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void;

let stop: (() => void) | null = null;
afterEach(() => {
  stop?.();
  stop = null;
});

/** A service of one handler for each request in turn; the last one goes on. */
async function serving(
  ...handlers: Handler[]
): Promise<{ client: Client; seen: IncomingMessage[] }> {
  const seen: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      seen.push(request);
      const handler = handlers[Math.min(seen.length, handlers.length) - 1];
      handler?.(request, response, Buffer.concat(chunks).toString());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  stop = () => {
    server.closeAllConnections();
    server.close();
  };
  const { port } = server.address() as AddressInfo;
  return { client: createClient({ url: `http://127.0.0.1:${port}`, apiKey: 'key' }), seen };
}

const job = (status: string) => ({ id: 'job_a', status });
const json =
  (status: number, body: unknown, headers: Record<string, string> = {}): Handler =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(body));
  };
const problem = (status: number, code: string, headers = {}): Handler =>
  json(status, { code, title: 'No.', detail: 'Not now.', status }, headers);
const hangUp: Handler = (request) => request.socket.destroy();

const request = { language: 'python', source: 'print(1)' } as const;

describe('the client', () => {
  it('comes back when a refusal says so, with the same idempotency key', async () => {
    const { client, seen } = await serving(
      problem(503, 'capacity', { 'retry-after': '1' }),
      json(202, job('queued')),
    );
    const started = Date.now();
    expect(await client.submit(request)).toEqual(job('queued'));
    expect(Date.now() - started).toBeGreaterThanOrEqual(990);
    const keys = seen.map(({ headers }) => headers['idempotency-key']);
    expect(keys[0]).toMatch(/^[0-9a-f-]{36}$/);
    expect(keys[1]).toBe(keys[0]);
    expect(seen[0]?.headers.authorization).toBe('Bearer key');
  });

  it('repeats what got no answer, and gives up after its attempts', async () => {
    const once = await serving(hangUp, json(200, job('finished')));
    expect((await once.client.submit(request)).status).toBe('finished');
    stop?.();
    const never = await serving(hangUp);
    await expect(never.client.get('job_a')).rejects.toThrow(ConnectionError);
    expect(never.seen).toHaveLength(5);
  });

  it('does not repeat what was refused for good, and carries the problem', async () => {
    const { client, seen } = await serving(problem(400, 'invalid_request'));
    const error: unknown = await client.submit(request).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(MayflyError);
    expect(error).toMatchObject({ status: 400, code: 'invalid_request', message: 'Not now.' });
    expect(seen).toHaveLength(1);
  });

  it('does not wait longer than it is allowed to', async () => {
    const { client, seen } = await serving(problem(429, 'queue_full', { 'retry-after': '3600' }));
    await expect(client.submit(request)).rejects.toMatchObject({ retryAfterMs: 3_600_000 });
    expect(seen).toHaveLength(1);
  });

  it('stops at once when its signal is aborted, also between attempts', async () => {
    const { client } = await serving(problem(503, 'capacity', { 'retry-after': '20' }));
    const started = Date.now();
    const signal = AbortSignal.timeout(100);
    await expect(client.submit(request, { signal })).rejects.toThrow(/abort|timeout/i);
    expect(Date.now() - started).toBeLessThan(5_000);
  });

  it('waits over several answers until the job has ended', async () => {
    const { client, seen } = await serving(
      json(202, job('queued')),
      json(200, job('running')),
      json(200, job('finished')),
    );
    expect((await client.run(request)).status).toBe('finished');
    expect(seen.map(({ url }) => url)).toEqual([
      '/v1/jobs?wait=30',
      '/v1/jobs/job_a?wait=30',
      '/v1/jobs/job_a?wait=30',
    ]);
  });
});

describe('events', () => {
  const stream =
    (text: string, end: boolean): Handler =>
    (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(text, () => (end ? response.end() : response.destroy()));
    };

  it('go on after a break from where they were', async () => {
    const { client, seen } = await serving(
      stream('id: 1.0.2.0\nevent: stdout\ndata: {"data":"aGk=","offset":0}\n\nid: 1.0.9', false),
      stream(
        'id: 1.0.4.0\nevent: stdout\ndata: {"data":"IQo="}\n\nevent: finished\ndata: {}\n\n',
        true,
      ),
    );
    const text: string[] = [];
    for await (const event of client.events('job_a')) {
      const output = outputOf(event);
      if (output !== null) text.push(Buffer.from(output.bytes).toString());
    }
    expect(text.join('')).toBe('hi!\n');
    expect(seen[1]?.headers['last-event-id']).toBe('1.0.2.0');
  });

  it('are the same however the bytes are cut', async () => {
    const text = ': hello\n\nid: 7\nevent: stdout\ndata: {"a":\ndata: "ü"}\n\ndata: x\r\n\r\n';
    const bytes = new TextEncoder().encode(text);
    for (let size = 1; size < bytes.length; size += 1) {
      async function* cut(): AsyncGenerator<Uint8Array> {
        for (let at = 0; at < bytes.length; at += size) {
          yield await Promise.resolve(bytes.subarray(at, at + size));
        }
      }
      const list: unknown[] = [];
      for await (const frame of framesOf(cut())) list.push(frame);
      expect(list).toEqual([
        { id: '7', event: 'stdout', data: '{"a":\n"ü"}' },
        { id: null, event: 'message', data: 'x' },
      ]);
    }
  });
});

describe('Retry-After', () => {
  it('is understood in both forms', () => {
    const now = Date.parse('2026-01-01T00:00:00Z');
    expect(retryAfterMs('7', now)).toBe(7_000);
    expect(retryAfterMs('Thu, 01 Jan 2026 00:00:05 GMT', now)).toBe(5_000);
    expect(retryAfterMs('soon', now)).toBeNull();
    expect(retryAfterMs(null, now)).toBeNull();
  });
});
