import { constants } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import type { Box, Control, ControlEnd } from '../../workers/executor/sandbox.js';
import { createOutput } from '../../workers/executor/step-result.js';
import { MIB, openBox, startTestSandbox, stepOf, type Run } from '../helpers/boxes.js';
import { eventually } from '../helpers/eventually.js';

const { errno } = constants;

let sandbox: NativeSandbox;
beforeAll(async () => {
  sandbox = await startTestSandbox();
});
afterAll(async () => {
  await sandbox.stop();
});

/** What runs, once it does. */
async function start(run: Run) {
  const box = await openBox(sandbox, run);
  box.follow();
  const output = createOutput();
  const ending = box.step(stepOf({ frozenTimeMs: 10_000, ...run }), output.add);
  return { box, ending, text: () => output.bytesOf('stdout').toString() };
}

async function control(box: Box, wanted: Control): Promise<ControlEnd> {
  for (;;) {
    const end = await box.control(wanted);
    if (end?.errno !== errno.ESRCH) return end;
  }
}

describe('a step that runs', () => {
  it('is frozen and thawed, and its time by the clock stands still', async () => {
    const { box, ending } = await start({ argv: ['sleep', '0.1'], limits: { wallTimeMs: 2_000 } });
    expect(await control(box, { kind: 'freeze' })).toBeNull();
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(await control(box, { kind: 'thaw' })).toBeNull();
    expect(await ending).toMatchObject({ outcome: 'exited', exitCode: 0 });
    await box.close();
  });

  it('may be frozen for as long as its box was told, and no longer', async () => {
    const { box, ending } = await start({ argv: ['sleep', '9'], frozenTimeMs: 100 });
    expect(await control(box, { kind: 'freeze' })).toBeNull();
    expect((await ending).outcome).toBe('wall_limit');
    await box.close();
  });

  it('gets other limits, but not less memory than it uses', async () => {
    const { box, ending, text } = await start({
      argv: ['python3', '-c', 'x = bytearray(50_000_000); print(1, flush=True); input()'],
      interactive: true,
    });
    await eventually(() => text() === '1\n');
    const limits = { memoryBytes: 16 * MIB };
    expect(await control(box, { kind: 'limits', limits })).toEqual({ errno: errno.EBUSY });
    expect(await control(box, { kind: 'limits', limits: { wallTimeMs: 50 } })).toBeNull();
    expect((await ending).outcome).toBe('wall_limit');
    await box.close();
  });

  it('is typed to, and sees the size of its terminal change', async () => {
    const { box, ending, text } = await start({
      argv: ['sh', '-c', 'read x; stty size; read y; stty size'],
      interactive: true,
      terminal: { rows: 24, columns: 80 },
    });
    const enter = { kind: 'input', data: Buffer.from('\n'), last: false } as const;
    expect(await control(box, enter)).toBeNull();
    await eventually(() => text().includes('24 80'));
    expect(await control(box, { kind: 'resize', size: { rows: 5, columns: 6 } })).toBeNull();
    expect(await control(box, enter)).toBeNull();
    expect((await ending).exitCode).toBe(0);
    expect(text()).toContain('5 6');
    await box.close();
  });

  it('rejects what was asked of a box that ends', async () => {
    const { box } = await start({ argv: ['sleep', '9'] });
    await control(box, { kind: 'thaw' });
    const closed = box.close();
    await expect(box.control({ kind: 'thaw' })).rejects.toThrow('closed');
    await closed;
  });
});

describe('merged streams', () => {
  it('arrive in the order in which they were written', async () => {
    const script = 'for i in $(seq 500); do echo out $i; echo err $i >&2; done';
    const { box, ending, text } = await start({ argv: ['sh', '-c', script], mergeStderr: true });
    await ending;
    const lines = Array.from({ length: 500 }, (_, i) => `out ${i + 1}\nerr ${i + 1}\n`);
    expect(text()).toBe(lines.join(''));
    await box.close();
  });
});
