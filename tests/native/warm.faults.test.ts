/** What a box whose interpreter does not do as it should is good for: nothing while it is pooled, a cold start after. */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import type { Box, StepSpec } from '../../workers/executor/sandbox.js';
import { createOutput } from '../../workers/executor/step-result.js';
import { warmImages, type WarmImage } from '../../workers/executor/warm.js';
import { MIB, startTestSandbox, storedImages } from '../helpers/boxes.js';
import { eventually } from '../helpers/eventually.js';
import { childrenOf, programOf } from '../helpers/processes.js';
import { allWarm, startWarmSandbox, waitingInterpreters } from '../helpers/warm.js';

const python = warmImages().find(({ name }) => name === 'python') as WarmImage;
let sandbox: NativeSandbox | null = null;

afterEach(async () => {
  await sandbox?.stop();
  sandbox = null;
});

async function startPython(image: WarmImage = python): Promise<NativeSandbox> {
  return (sandbox = await startWarmSandbox([image]));
}

function open(from: NativeSandbox): Promise<Box> {
  return from.openBox({ image: 'base', warm: 'python', diskBytes: 64 * MIB, files: 4_096 });
}

async function finish(box: Box, step: StepSpec = python.step, source: string | null = 'print(1)') {
  try {
    if (source !== null) {
      await box.put([{ path: '/box/main.py', mode: 0o644, content: Buffer.from(source) }]);
    }
    const output = createOutput();
    const end = await box.step(step, output.add);
    const { outcome, exitCode, warm } = end;
    const [stdout, stderr] = (['stdout', 'stderr'] as const).map((stream) =>
      output.bytesOf(stream).toString(),
    );
    return { outcome, exitCode, warm, stdout, stderr };
  } finally {
    await box.close();
  }
}

const one = { outcome: 'exited', exitCode: 0, stdout: '1\n' };

function interpreters(of: NativeSandbox): string[] {
  const inits = childrenOf(of.supervisorPid() ?? 0).flatMap(childrenOf);
  return inits.flatMap(childrenOf).map(programOf);
}

/** Kills and waits until it is reaped: from then on the box's pid 1 knows. */
function kill(interpreter: number | undefined): Promise<void> {
  process.kill(interpreter as number, 'SIGKILL');
  return eventually(() => !existsSync(`/proc/${interpreter}`));
}

/** Nobody is left that an image's command became; the boxes of base wait with their waiters. */
function gone(of: NativeSandbox, command: string): Promise<void> {
  return eventually(() => !interpreters(of).includes(command));
}

describe('a box whose interpreter', () => {
  it('was killed while it waited is thrown away, and the job starts its own', async () => {
    const of = await startPython();
    await allWarm(of, 1);
    process.kill(waitingInterpreters(of)[0] as number, 'SIGKILL');
    await eventually(() => waitingInterpreters(of).length === 0);
    expect(await finish(await open(of))).toMatchObject({ ...one, warm: false });
  });

  it('was killed after its box was given away becomes a box like any other', async () => {
    const of = await startPython();
    await allWarm(of, 1);
    const [interpreter] = waitingInterpreters(of);
    const box = await open(of);
    await kill(interpreter);
    expect(await finish(box)).toMatchObject({ ...one, warm: false });
  });

  it('was killed between files and step becomes a box like any other, with its files', async () => {
    const of = await startPython();
    await allWarm(of, 1);
    const [interpreter] = waitingInterpreters(of);
    const box = await open(of);
    await box.put([{ path: '/box/main.py', mode: 0o644, content: Buffer.from('print(1)') }]);
    await kill(interpreter);
    expect(await finish(box, python.step, null)).toMatchObject({ ...one, warm: false });
  });

  it('finds no program says so as ever', async () => {
    const of = await startPython();
    await allWarm(of, 1);
    const end = await finish(await open(of), python.step, null);
    expect(end).toMatchObject({ outcome: 'exited', exitCode: 2, warm: false });
    expect(end.stderr).toContain("can't open file '/box/main.py'");
  });

  it('is asked for another command gives way to it, and to the steps after it', async () => {
    const of = await startPython();
    await allWarm(of, 1);
    const box = await open(of);
    const other = { ...python.step, argv: ['bash', '-c', 'echo $$ > pid; ls'] };
    const output = createOutput();
    expect(await box.step(other, output.add)).toMatchObject({ outcome: 'exited', warm: false });
    expect(output.bytesOf('stdout').toString()).toBe('pid\n');
    expect(await finish(box)).toMatchObject({ ...one, warm: false });
  });

  it.each([
    ['writes something', ['bash', '-c', 'echo noise; read < "$0"', 'main.py']],
    ['writes an error', ['bash', '-c', 'echo noise >&2; read < "$0"', 'main.py']],
    ['closes its output', ['bash', '-c', 'exec >&- 2>&-; read < "$0"', 'main.py']],
    ['ends at once', ['true', 'main.py']],
    ['does not exist', ['no-such-interpreter', 'main.py']],
    ['is killed by its own hand', ['bash', '-c', 'kill -9 $$', 'main.py']],
    ['reads its pipe and ends', ['bash', '-c', 'read -t 0.1 < "$0"', 'main.py']],
    ['opens nothing', ['sleep', '1000', 'main.py']],
    ['names a directory', ['python3', '/box']],
  ])('%s is not given to a job', async (_what, argv) => {
    const of = await startPython({ ...python, step: { ...python.step, argv } });
    await sleep(300);
    expect(await finish(await open(of))).toMatchObject({ ...one, warm: false });
    if (argv[0] !== 'sleep') await gone(of, argv[0] as string);
  });

  it('would take more memory than there is for all of them is not started', async () => {
    const images = storedImages().map((image) => ({ ...image, keepReady: image.name === 'base' }));
    const bytesMax = 8 * MIB;
    const warm = { images: [python], bytesMax };
    sandbox = await startTestSandbox({ poolBoxes: 2, images, warm });
    await sleep(500);
    expect(waitingInterpreters(sandbox)).toEqual([]);
    expect(await finish(await open(sandbox))).toMatchObject({ ...one, warm: false });
  });
});
