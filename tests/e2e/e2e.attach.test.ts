/** An interactive session over the WebSocket, through to a pseudo-terminal in a box. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attach } from '../helpers/attach.js';
import { descendants } from '../bench/machine.js';
import { eventually } from '../helpers/eventually.js';
import { startTestStack, type TestStack } from '../helpers/stack.js';

const IDLE_MS = 2_000;

let stack: TestStack;
let target: { url: string; apiKey: string };
beforeAll(async () => {
  stack = await startTestStack();
  target = { url: stack.stack.url, apiKey: stack.stack.apiKey };
});
afterAll(async () => {
  await stack.stop();
});

const session = {
  image: 'base',
  steps: [{ name: 'python', argv: ['python3', '-q', '-i'] }],
  limits: { wallTimeMs: 100_000, cpuTimeMs: 50_000 },
  interactive: true,
  terminal: { rows: 24, columns: 80 },
  idleTimeMs: IDLE_MS,
};

describe('an interactive Python session', () => {
  it('answers 100 prompts, is interrupted, sees its size, and ends when its client is gone', async () => {
    // Supervisor, maker, and the boxes that are kept ready.
    await stack.submit({ image: 'base', steps: [{ name: 'warm', argv: ['true'] }] }, 10);
    await new Promise((resolve) => setTimeout(resolve, 500));
    const processes = (): number => descendants(stack.stack.executor.pid() ?? 0).length;
    const idle = processes();
    const { id } = await stack.submit(session);
    const client = await attach(target, id);
    await client.expect('>>> ');
    for (let i = 0; i < 100; i += 1) {
      client.type(`${i} * 7 + 100000\n`);
      await client.expect(`${i * 7 + 100_000}\r\n>>> `);
    }

    client.type('while True: pass\n\n');
    await client.expect('... ');
    await new Promise((resolve) => setTimeout(resolve, 200));
    client.type('\x03');
    await client.expect('KeyboardInterrupt\r\n>>> ');
    client.type('import time; time.sleep(50)\n');
    await client.expect('50)\r\n');
    await new Promise((resolve) => setTimeout(resolve, 200));
    client.send({ type: 'signal', signal: 'SIGINT' });
    await client.expect('KeyboardInterrupt\r\n>>> ');

    client.send({ type: 'resize', rows: 40, columns: 132 });
    client.type('import os; os.get_terminal_size()\n');
    await client.expect('columns=132, lines=40');
    client.type('os.ttyname(0), os.getpgrp() == os.tcgetpgrp(0)\n');
    await client.expect("('/dev/pts/0', True)");

    client.drop();
    const left = Date.now();
    const { run, steps } = await stack.get(id, 30);
    expect(run).toBeNull();
    expect(steps?.[0]?.outcome).toBe('wall_limit');
    expect(Date.now() - left).toBeLessThan(IDLE_MS + 3_000);
    await eventually(() => processes() <= idle);
  });

  it('is there for whoever comes back before it is over', async () => {
    const { id } = await stack.submit(session);
    const first = await attach(target, id);
    await first.expect('>>> ');
    first.type('kept = 41 + 1\n');
    await first.expect('>>> ');
    first.drop();
    const second = await attach(target, id);
    await second.expect('>>> kept');
    await second.expect('>>> ');
    second.type('print(kept); exit(3)\n');
    await second.expect('42\r\n');
    expect(await second.closed).toBe(1000);
    expect(second.told.at(-1)).toMatchObject({ type: 'finished', job: { status: 'finished' } });
    expect((await stack.get(id, 10)).steps?.[0]?.exitCode).toBe(3);
  });
});

describe('a program without a terminal', () => {
  it('is given what is typed, and its end of input', async () => {
    const { id } = await stack.submit({
      language: 'python',
      source:
        'import sys\nfor line in sys.stdin: print("got", line.strip(), flush=True)\nprint("end")',
      interactive: true,
    });
    const client = await attach(target, id);
    client.type('one\n');
    await client.expect('got one');
    client.send({ type: 'resize', rows: 1, columns: 1 });
    client.type('two\n');
    await client.expect('got two');
    client.send({ type: 'close' });
    await client.expect('end\n');
    expect(await client.closed).toBe(1000);
    expect(client.told).toContainEqual(
      expect.objectContaining({ type: 'refused', kind: 'resize', code: 'conflict' }),
    );
  });

  it('that does not read makes its client wait, and nobody buffer', async () => {
    const { id } = await stack.submit({
      language: 'python',
      source: 'import time\ntime.sleep(1.5)\nprint(len(open(0).read()))',
      interactive: true,
    });
    const client = await attach(target, id);
    const block = 'x'.repeat(60_000);
    for (let i = 0; i < 20; i += 1) client.type(block);
    client.send({ type: 'close' });
    await client.expect('1200000\n', 20_000);
    await client.closed;
  });

  it('reads what was typed while it still waited for a slot', async () => {
    const sleeper = { language: 'bash', source: 'sleep 1' };
    for (let i = 0; i < 4; i += 1) await stack.submit(sleeper);
    const source = 'while read -r line; do echo "got $line"; done';
    const { id } = await stack.submit({ language: 'bash', source, interactive: true });
    const client = await attach(target, id);
    client.type('one\n');
    client.type('two\n');
    client.send({ type: 'close' });
    await client.expect('got one\ngot two\n', 20_000);
    expect(client.told).toContainEqual(
      expect.objectContaining({ type: 'state', status: 'queued' }),
    );
    expect(client.told).not.toContainEqual(expect.objectContaining({ type: 'refused' }));
    await client.closed;
  });
});

describe('attaching', () => {
  it('is a WebSocket only, and closes on frames that are none', async () => {
    const { id } = await stack.submit({ language: 'python', source: 'input()', interactive: true });
    const plain = await stack.call('GET', `/v1/jobs/${id}/attach`);
    expect([plain.status, (plain.body as { code: string }).code]).toEqual([
      426,
      'upgrade_required',
    ]);
    for (const frame of [Buffer.from([1, 65]), Buffer.from([9]), { type: 'nothing' }, {}]) {
      const client = await attach(target, id);
      client.send(frame);
      expect(await client.closed).toBe(1003);
    }
    await stack.call('DELETE', `/v1/jobs/${id}`);
  });

  it('cannot be done without a key, or with a wrong one', async () => {
    const { id } = await stack.submit({ language: 'python', source: 'input()', interactive: true });
    await expect(attach({ ...target, apiKey: 'wrong-key' }, id)).rejects.toThrow('401');
    await expect(attach(target, `job_${'a'.repeat(26)}`)).rejects.toThrow('404');
    await stack.call('DELETE', `/v1/jobs/${id}`);
  });
});
