import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Outcome } from '../../services/contract/outcomes.js';
import { SupervisorConnection } from '../../workers/executor/supervisor-connection.js';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import {
  MIB,
  openBox,
  runInBox,
  sandboxDeps,
  startTestSandbox,
  stepOf,
  type Run,
} from '../helpers/boxes.js';
import { eventually } from '../helpers/eventually.js';
import { leftovers, newLeftovers, nothingLeft } from '../helpers/leftovers.js';
import { childrenOf, programOf, readProc } from '../helpers/processes.js';

const JOBS = 500;
const AT_A_TIME = 8;

/** Every way to end, most of them quick. */
const kinds: readonly (Run & { readonly outcome: Outcome })[] = [
  { argv: ['true'], outcome: 'exited' },
  { argv: ['bash', '-c', 'kill -9 $$'], outcome: 'signaled' },
  { program: 'wait', limits: { wallTimeMs: 20 }, outcome: 'wall_limit' },
  { program: 'flood', args: ['1'], limits: { outputBytes: 65_536 }, outcome: 'output_limit' },
  { program: 'burn', limits: { cpuTimeMs: 10 }, outcome: 'cpu_limit' },
  { program: 'eat', args: ['16'], limits: { memoryBytes: 8 * MIB }, outcome: 'memory_limit' },
  {
    program: 'fill',
    limits: { diskBytes: 2 * MIB, memoryBytes: 32 * MIB },
    outcome: 'disk_limit',
  },
  {
    program: 'fork_bomb',
    limits: { wallTimeMs: 30, processes: 16, cpuTimeMs: 5_000 },
    outcome: 'wall_limit',
  },
];

/** Of a box that is there for this. */
async function groupNumber(sandbox: NativeSandbox): Promise<number> {
  const box = await openBox(sandbox);
  const running = box.step(stepOf({ argv: ['sleep', '30'] }), () => undefined);
  const programs = (): number[] =>
    childrenOf(sandbox.supervisorPid() ?? 0)
      .flatMap(childrenOf)
      .flatMap(childrenOf);
  await eventually(() => programs().map(programOf).includes('sleep'));
  const groups = readProc(programs()[0] ?? 0, 'cgroup');
  box.cancel();
  await running;
  await box.close();
  return Number(/mayfly-[^/\n]+\/b(\d+)$/m.exec(groups)?.[1] ?? NaN);
}

describe('the search for what is left', () => {
  it('finds what a killed supervisor leaves, until the next one has swept it up', async () => {
    const before = leftovers();
    const connection = new SupervisorConnection(sandboxDeps());
    await connection.ready();
    process.kill(connection.pid, 'SIGKILL');
    await connection.lost;
    expect(newLeftovers(before).join()).toMatch(/cgroup .*mayfly-/);
    await (await startTestSandbox()).stop();
    await nothingLeft(before);
  });
});

describe(`after ${JOBS} jobs`, () => {
  it('nothing of ours is left, and none ended twice or not at all', async () => {
    const before = leftovers();
    const sandbox = await startTestSandbox({ boxesMax: AT_A_TIME });
    await runInBox(sandbox, { argv: ['true'] });
    const descriptorsBefore = readdirSync('/proc/self/fd').length;
    const ledger = new Map<number, Outcome[]>();
    let next = 0;
    async function worker(): Promise<void> {
      for (let job = next++; job < JOBS; job = next++) {
        const kind = kinds[job % kinds.length];
        if (kind === undefined) throw new Error('no such kind');
        const { outcome } = await runInBox(sandbox, kind);
        ledger.set(job, [...(ledger.get(job) ?? []), outcome]);
      }
    }
    await Promise.all(Array.from({ length: AT_A_TIME }, worker));

    const expected = Array.from({ length: JOBS }, (_unused, job) => [
      kinds[job % kinds.length]?.outcome,
    ]);
    expect([...ledger].sort(([a], [b]) => a - b).map(([, ends]) => ends)).toEqual(expected);
    expect(readdirSync('/proc/self/fd').length).toBe(descriptorsBefore);
    // The kernel keeps an entry for each name of a control group that ever was.
    expect(await groupNumber(sandbox)).toBeLessThan(4 * AT_A_TIME);
    await sandbox.stop();
    await nothingLeft(before);
  });
});
