/** What happens to a running job from outside, through HTTP down to the box. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../helpers/eventually.js';
import { readEvents } from '../helpers/events.js';
import { startTestStack, type TestStack } from '../helpers/stack.js';

let stack: TestStack;
let target: { url: string; apiKey: string };
beforeAll(async () => {
  stack = await startTestStack();
  target = { url: stack.stack.url, apiKey: stack.stack.apiKey };
});
afterAll(async () => {
  await stack.stop();
});

const python = (source: string, more: object = {}): object => ({
  language: 'python',
  source,
  ...more,
});

const COUNTING = `import sys, time
for i in range(40):
    print("line", i, "x" * 250, flush=True)
    print("err", i, file=sys.stderr, flush=True)
    time.sleep(0.01)
`;

async function post(path: string, body?: object | string) {
  const response = await fetch(`${target.url}${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${target.apiKey}`,
      ...(typeof body === 'object' ? { 'content-type': 'application/json' } : {}),
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

/** Submits a job, and returns when it has been claimed. */
async function start(job: object): Promise<string> {
  const { id } = await stack.submit(job);
  await eventually(async () => (await stack.get(id)).status === 'running');
  return id;
}

describe('events', () => {
  it('bring what a job writes, to who was there, who came late, and who resumed', async () => {
    const { id } = await stack.submit(python(COUNTING));
    const first = await readEvents(target, id);
    const some = await first.until(({ event, data }) => event === 'stdout' && data['offset'] !== 0);
    const late = await readEvents(target, id);
    const resumed = await readEvents(target, id, some.id ?? '');
    await Promise.all([first.ended, late.ended, resumed.ended]);
    const job = await stack.get(id, 10);
    const after = await readEvents(target, id);
    await after.ended;
    for (const reader of [first, late, after]) {
      expect(reader.text('stdout')).toBe(job.run?.stdout);
      expect(reader.text('stderr')).toBe(job.run?.stderr);
      const last = reader.events.at(-1);
      expect(last?.event).toBe('finished');
      expect(last?.data).toMatchObject({ id, status: 'finished' });
    }
    const before = first.events.slice(0, first.events.indexOf(some) + 1);
    const bytesOf = (stream: string) =>
      before
        .filter(({ event }) => event === stream)
        .map(({ data }) => Buffer.from(String(data['data']), 'base64').toString())
        .join('');
    expect(bytesOf('stdout') + resumed.text('stdout')).toBe(job.run?.stdout);
    expect(bytesOf('stderr') + resumed.text('stderr')).toBe(job.run?.stderr);
  });

  it('bring output that is larger than any window', async () => {
    const source = 'print("0123456789abcdef" * 200000)';
    const limits = { outputBytes: 4 * 1024 * 1024 };
    const { id } = await stack.submit(python(`${source}\nimport time; time.sleep(1)`, { limits }));
    const reader = await readEvents(target, id);
    await reader.ended;
    expect(reader.text('stdout')).toHaveLength(3_200_001);
  });

  it('name the steps of a job as they begin', async () => {
    const { id } = await stack.submit({
      image: 'base',
      steps: [
        { name: 'one', argv: ['echo', '1'] },
        { name: 'two', argv: ['echo', '2'] },
      ],
    });
    const reader = await readEvents(target, id);
    await reader.ended;
    const names = reader.events.flatMap(({ event, data }) =>
      event === 'state' && data['name'] !== undefined ? [data['name']] : [],
    );
    expect(names).toEqual(['one', 'two']);
  });

  it('are not there for a job that is not, and refuse a position that is none', async () => {
    expect((await readEvents(target, `job_${'a'.repeat(26)}`)).status).toBe(404);
    const { id } = await stack.submit(python('1'), 10);
    expect((await readEvents(target, id, '1.2.3')).status).toBe(400);
  });
});

describe('a running job', () => {
  it('is frozen, thawed, and its limits change', async () => {
    const id = await start(
      python('import time; time.sleep(1.5)', { limits: { wallTimeMs: 3_000 } }),
    );
    const frozen = await post(`/v1/jobs/${id}/freeze`);
    expect([frozen.status, frozen.body['status']]).toEqual([200, 'running']);
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    expect((await post(`/v1/jobs/${id}/thaw`)).status).toBe(200);
    const job = await stack.get(id, 20);
    expect(job.run).toMatchObject({ outcome: 'exited', exitCode: 0 });
    expect((await post(`/v1/jobs/${id}/freeze`)).status).toBe(409);
  });

  it('is given less time, but not less memory than it uses', async () => {
    const id = await start(
      python('x = bytearray(100_000_000); print(1, flush=True); import time; time.sleep(60)', {
        limits: { wallTimeMs: 100_000 },
      }),
    );
    const reader = await readEvents(target, id);
    await reader.until(({ event }) => event === 'stdout');
    const path = `/v1/jobs/${id}/limits`;
    const less = await stack.call('PATCH', path, { memoryBytes: 32 * 1024 * 1024 });
    expect(less.status).toBe(409);
    expect((await stack.call('PATCH', path, { diskBytes: 1 })).status).toBe(400);
    expect((await stack.call('PATCH', path, {})).status).toBe(400);
    expect((await stack.call('PATCH', path, { wallTimeMs: 50 })).status).toBe(200);
    expect((await stack.get(id, 20)).run?.outcome).toBe('wall_limit');
  });

  it('is signalled', async () => {
    const id = await start(python('import time; time.sleep(60)'));
    expect((await post(`/v1/jobs/${id}/signal`, { signal: 'SIGNOTHING' })).status).toBe(400);
    const signalled = await post(`/v1/jobs/${id}/signal`, { signal: 'SIGTERM' });
    expect(signalled.status).toBe(200);
    expect((await stack.get(id, 20)).run).toMatchObject({ outcome: 'signaled', signal: 'SIGTERM' });
  });

  it('that is interactive reads what is posted, and no more than it wants', async () => {
    const id = await start(
      python('import sys, time; a = input(); time.sleep(1); print(a, len(sys.stdin.read()))', {
        interactive: true,
        stdin: 'hel',
      }),
    );
    const path = `/v1/jobs/${id}/stdin`;
    expect(await post(path, 'lo\n')).toEqual({ status: 200, body: { bytes: 3, closed: false } });
    const block = 'x'.repeat(65_536);
    let taken = 0;
    let answer = await post(path, block);
    for (; answer.status === 200; answer = await post(path, block)) taken += 1;
    expect([answer.status, answer.body['code']]).toEqual([429, 'input_full']);
    expect((await post(path, 'x'.repeat(65_537))).status).toBe(413);
    while (answer.status === 429) answer = await post(`${path}?close`, '!');
    expect(answer.status).toBe(200);
    const { run } = await stack.get(id, 20);
    expect(run?.stdout).toBe(`hello ${taken * 65_536 + 1}\n`);
  });

  it('that is not interactive reads nothing but its own input', async () => {
    const id = await start(python('import time; time.sleep(5)'));
    expect((await post(`/v1/jobs/${id}/stdin`, 'x')).status).toBe(409);
    await stack.call('DELETE', `/v1/jobs/${id}`);
  });

  it('that is interactive ends when no client is there for its idle time', async () => {
    const id = await start(python('input()', { interactive: true, idleTimeMs: 1_000 }));
    const { run } = await stack.get(id, 20);
    expect(run?.outcome).toBe('wall_limit');
    expect(run?.usage.wallTimeMs).toBeLessThan(4_000);
  });
});
