import { constants } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import type { Box } from '../../workers/executor/sandbox.js';
import { openBox, startTestSandbox, stepOf, type Run } from '../helpers/boxes.js';
import { eventually } from '../helpers/eventually.js';

let sandbox: NativeSandbox;
beforeAll(async () => {
  sandbox = await startTestSandbox();
});
afterAll(async () => {
  await sandbox.stop();
});

interface Started {
  readonly box: Box;
  readonly ending: ReturnType<Box['step']>;
  readonly chunks: string[];
}

async function start(run: Run): Promise<Started> {
  const box = await openBox(sandbox, run);
  const chunks: string[] = [];
  const ending = box.step(stepOf(run), (_stream, chunk) => {
    chunks.push(chunk.toString());
  });
  return { box, ending, chunks };
}

const SLOWLY = { argv: ['bash', '-c', 'for i in 1 2 3 4 5; do echo $i; sleep 0.03; done'] };
const ALL = '1\n2\n3\n4\n5\n';
/** Says what it is told, until it is told nothing more. */
const ECHO: Run = {
  argv: ['bash', '-c', 'echo ready; while read line; do echo $line; done'],
  interactive: true,
};

async function type(box: Box, text: string, last: boolean): Promise<void> {
  const input = { kind: 'input', data: Buffer.from(text), last } as const;
  while ((await box.control(input))?.errno === constants.errno.ESRCH);
}

describe('output', () => {
  it('of a step that nobody follows comes in one portion', async () => {
    const { box, ending, chunks } = await start(SLOWLY);
    expect((await ending).outcome).toBe('exited');
    expect(chunks).toEqual([ALL]);
    await box.close();
  });

  it('of a followed one comes as it is written, in each of its steps', async () => {
    const box = await openBox(sandbox);
    box.follow();
    for (let step = 0; step < 2; step += 1) {
      let said = '';
      const ending = box.step(stepOf(ECHO), (_stream, chunk) => (said += chunk.toString()));
      await eventually(() => said === 'ready\n');
      await type(box, 'one\n', false);
      await eventually(() => said === 'ready\none\n');
      await type(box, 'two\n', true);
      expect((await ending).exitCode).toBe(0);
      expect(said).toBe('ready\none\ntwo\n');
    }
    await box.close();
  });

  it('that was written before somebody followed comes at once, and the rest as it is written', async () => {
    const { box, ending, chunks } = await start(ECHO);
    const said = (): string => chunks.join('');
    await type(box, 'one\n', false);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(chunks).toEqual([]);
    box.follow();
    await eventually(() => said() === 'ready\none\n');
    await type(box, 'two\n', false);
    await eventually(() => said() === 'ready\none\ntwo\n');
    await type(box, 'three\n', true);
    expect((await ending).exitCode).toBe(0);
    expect(said()).toBe('ready\none\ntwo\nthree\n');
    await box.close();
  });

  it('of more than a portion is whole and in order, on either stream', async () => {
    const script = 'for i in $(seq 60000); do echo $i; echo $i >&2; done';
    const box = await openBox(sandbox);
    const streams = { stdout: '', stderr: '' };
    const sizes: number[] = [];
    const end = await box.step(stepOf({ argv: ['bash', '-c', script] }), (stream, chunk) => {
      streams[stream] += chunk.toString();
      sizes.push(chunk.length);
    });
    const lines = Array.from({ length: 60_000 }, (_, i) => `${i + 1}\n`).join('');
    expect(end.exitCode).toBe(0);
    expect(streams.stdout === lines && streams.stderr === lines).toBe(true);
    // In portions of 64 KiB, less what did not fit any more.
    expect(sizes.length).toBeLessThan((3 * 2 * lines.length) / 65_536);
    await box.close();
  });

  it('of a program that is killed is what it had written', async () => {
    const script = 'echo one; echo two; kill -KILL $$';
    const { box, ending, chunks } = await start({ argv: ['bash', '-c', script] });
    expect(await ending).toMatchObject({ outcome: 'signaled', signal: 9 });
    expect(chunks).toEqual(['one\ntwo\n']);
    await box.close();
  });
});
