/** A box that has a core of the machine to itself. */
import { availableParallelism } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { resolveLimits } from '../../services/contract/limits.js';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import type { Box } from '../../workers/executor/sandbox.js';
import { createOutput } from '../../workers/executor/step-result.js';
import { startTestSandbox, stepOf } from '../helpers/boxes.js';
import { eventually } from '../helpers/eventually.js';

let sandbox: NativeSandbox;
beforeAll(async () => {
  sandbox = await startTestSandbox({ poolBoxes: 2 });
});
afterAll(() => sandbox.stop());

const all = Array.from({ length: availableParallelism() }, (_, cpu) => cpu);

async function open(alone: boolean): Promise<Box> {
  const { diskBytes, files } = resolveLimits().limits;
  return await sandbox.openBox({ image: 'base', diskBytes, files, alone });
}

async function run(box: Box, source: string) {
  const output = createOutput();
  const end = await box.step(stepOf({ argv: ['python3', '-c', source] }), output.add);
  const text = (stream: 'stdout' | 'stderr') => output.bytesOf(stream).toString();
  if (end.exitCode !== 0) throw new Error(text('stderr'));
  return JSON.parse(text('stdout')) as unknown;
}

const OWN_CPUS = 'import os, json; print(json.dumps(sorted(os.sched_getaffinity(0))))';
/** Wants every CPU there is. */
const GRASPING = `import os, json
os.sched_setaffinity(0, range(1024))
print(json.dumps(sorted(os.sched_getaffinity(0))))`;
/** Where a program that wants them all is, while its input lasts. */
const STAYING = `import os, sys
os.sched_setaffinity(0, range(1024))
print('there', flush=True)
sys.stdin.read()
print(*sorted(os.sched_getaffinity(0)))`;

describe('a box alone on its core', () => {
  it('is on one core for each of its steps, and sees nothing else of how', async () => {
    const box = await open(true);
    const [core, ...more] = (await run(box, OWN_CPUS)) as number[];
    expect(more).toEqual([]);
    expect(await run(box, GRASPING)).toEqual([core]);
    const groups = await run(
      box,
      'import json; print(json.dumps(open("/proc/self/cgroup").read()))',
    );
    for (const line of String(groups).trim().split('\n')) expect(line).toMatch(/:\/$/);
    await box.close();
  });

  it('cannot be joined there by another, whenever that was opened', async () => {
    const running = await open(false);
    running.follow();
    const output = createOutput();
    const step = { ...stepOf({ argv: ['python3', '-c', STAYING], interactive: true }) };
    const ending = running.step(step, output.add);
    const said = () => output.bytesOf('stdout').toString();
    await eventually(() => said().startsWith('there'));
    const before = await open(false);
    const box = await open(true);
    const [core] = (await run(box, OWN_CPUS)) as [number];
    const others = all.filter((cpu) => cpu !== core);
    const after = await open(false);
    for (const other of [before, after]) {
      expect(await run(other, GRASPING)).toEqual(others);
      expect(await run(other, GRASPING)).toEqual(others);
    }
    await running.control({ kind: 'input', data: Buffer.alloc(0), last: true });
    await ending;
    expect(said()).toBe(`there\n${others.join(' ')}\n`);
    await box.close();
    // The control run: with nobody alone, every box has them all.
    expect(await run(after, GRASPING)).toEqual(all);
    for (const other of [running, before, after]) await other.close();
  });

  it('leaves a core to all others: the last one is refused', async () => {
    const boxes = [];
    for (const _ of all.slice(1)) boxes.push(await open(true));
    const cores = [];
    for (const box of boxes) cores.push(...((await run(box, OWN_CPUS)) as number[]));
    expect(new Set(cores).size).toBe(all.length - 1);
    const one = await open(true);
    await expect(run(one, OWN_CPUS)).rejects.toMatchObject({ stage: 'capacity' });
    for (const box of boxes) await box.close();
    const another = await open(true);
    await run(another, OWN_CPUS);
    await another.close();
  });
});
