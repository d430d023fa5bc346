import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SandboxFault } from '../../services/contract/faults.js';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import { openBox, runInBox, startTestSandbox, stepOf } from '../helpers/boxes.js';
import { eventually } from '../helpers/eventually.js';
import { leftovers, newLeftovers, nothingLeft } from '../helpers/leftovers.js';
import { childrenOf, programOf } from '../helpers/processes.js';

async function faultOf(promise: Promise<unknown>): Promise<SandboxFault> {
  const thrown = await promise.then(
    () => null,
    (error: unknown) => error,
  );
  if (thrown instanceof SandboxFault) return thrown;
  throw new Error(`not a fault: ${String(thrown)}`);
}

describe('a sandbox that cannot be started', () => {
  it('says so as the fault of its stage', async () => {
    const fault = await faultOf(startTestSandbox({ supervisorPath: '/no/such/supervisor' }));
    expect(fault).toMatchObject({ stage: 'start', errno: 2 });
    const notOurs = await faultOf(startTestSandbox({ supervisorPath: '/bin/true' }));
    expect(notOurs.stage).toMatch(/^(supervisor|handshake|start)$/);
  });
});

describe('a supervisor that hangs', () => {
  it('is killed and replaced, and its boxes fault', async () => {
    const before = leftovers();
    const sandbox = await startTestSandbox({ answerMs: 500 });
    const run = runInBox(sandbox, { argv: ['sleep', '30'], limits: { wallTimeMs: 200 } });
    process.kill(sandbox.supervisorPid() ?? 0, 'SIGSTOP');
    expect(await faultOf(run)).toMatchObject({ stage: 'supervisor' });
    expect(await runInBox(sandbox, { argv: ['true'] })).toMatchObject({ exitCode: 0 });
    await sandbox.stop();
    await nothingLeft(before);
  });
});

describe('a sandbox that is stopped', () => {
  it.each([0, 5, 60])('%i ms after its supervisor was killed leaves nothing', async (delayMs) => {
    const before = leftovers();
    const sandbox = await startTestSandbox();
    const run = faultOf(runInBox(sandbox, { argv: ['sleep', '30'] }));
    await new Promise((resolve) => setTimeout(resolve, 50));
    process.kill(sandbox.supervisorPid() ?? 0, 'SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    await sandbox.stop();
    await run;
    await nothingLeft(before);
  });
});

describe('faults of a sandbox', () => {
  let sandbox: NativeSandbox;
  let before: Set<string>;
  beforeEach(async () => {
    before = leftovers();
    sandbox = await startTestSandbox({ boxesMax: 24 });
  });
  afterEach(async () => {
    await sandbox.stop();
    await nothingLeft(before);
  });

  it('name a missing image, without a retry', async () => {
    const opening = sandbox.openBox({ image: 'missing', diskBytes: 65_536, files: 16 });
    expect(await faultOf(opening)).toMatchObject({ stage: 'image', retryable: false });
  });

  it('name the capacity when there are more boxes than agreed, and the others go on', async () => {
    const boxes = await Promise.all(Array.from({ length: 25 }, () => openBox(sandbox)));
    const ends = await Promise.allSettled(
      boxes.map((box) => box.step(stepOf({ argv: ['sleep', '0.2'] }), () => undefined)),
    );
    const rejected = ends.filter((end) => end.status === 'rejected');
    expect(rejected.map(({ reason }) => (reason as SandboxFault).stage)).toEqual(['capacity']);
    await Promise.all(boxes.map((box) => box.close()));
  });

  it('are protocol faults for what makes no sense, and the sandbox goes on', async () => {
    const box = await openBox(sandbox);
    const step = stepOf({ argv: ['true'] });
    const wrong = { ...step, limits: { ...step.limits, processes: 0 } };
    expect(await faultOf(box.step(wrong, () => undefined))).toMatchObject({ stage: 'protocol' });
    await box.close();
    expect(await runInBox(sandbox, { argv: ['true'] })).toMatchObject({ exitCode: 0 });
  });

  it('come after all that the program has written, also where nobody followed it', async () => {
    const box = await openBox(sandbox);
    const written: string[] = [];
    const script = 'echo out; echo err >&2; exec -a written sleep 30';
    const step = box.step(stepOf({ argv: ['bash', '-c', script] }), (stream, chunk) => {
      written.push(`${stream} ${chunk.toString()}`);
    });
    const fault = faultOf(step);
    const inits = (): number[] => childrenOf(sandbox.supervisorPid() ?? 0).flatMap(childrenOf);
    await eventually(() => inits().flatMap(childrenOf).map(programOf).includes('written'));
    expect(written).toEqual([]);
    process.kill(inits()[0] ?? 0, 'SIGKILL');
    expect(await fault).toMatchObject({ stage: 'init' });
    expect(written.sort()).toEqual(['stderr err\n', 'stdout out\n']);
    await box.close();
  });

  // From before the first request is read, through every stage of making a box, to running programs.
  it.each([0, 1, 2, 3, 5, 8, 13, 21, 34, 250])(
    'tell of a supervisor that is killed %i ms after it was asked for twenty boxes',
    async (delayMs) => {
      const pid = sandbox.supervisorPid();
      if (pid === null) throw new Error('no supervisor');
      const runs = Array.from({ length: 20 }, () =>
        faultOf(runInBox(sandbox, { argv: ['sleep', '30'] })),
      );
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      process.kill(pid, 'SIGKILL');
      for (const fault of await Promise.all(runs)) {
        expect(fault).toMatchObject({ stage: 'supervisor', retryable: true });
      }
      const end = await runInBox(sandbox, { argv: ['echo', 'again'] });
      expect(end.stdout).toBe('again\n');
      expect(sandbox.supervisorPid()).not.toBe(pid);
      await eventually(() => newLeftovers(before).every((name) => isSupervisor(name)));
    },
  );
});

/** The new one is our child and there of right, until it is stopped. */
function isSupervisor(name: string): boolean {
  return /^process \d+ mayfly-supervisor$/.test(name);
}
