import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LimitsRequest } from '../../services/contract/limits.js';
import type { Outcome } from '../../services/contract/outcomes.js';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import {
  filesOf,
  MIB,
  openBox,
  runInBox,
  startTestSandbox,
  stepOf,
  type RunEnd,
} from '../helpers/boxes.js';

interface Row {
  readonly title: string;
  readonly program: string;
  readonly args?: readonly string[];
  readonly limits: LimitsRequest;
  readonly outcome: Outcome;
  readonly check: (end: RunEnd) => void;
}

/**
 * Killed at 1,000 to 1,020 ms used, with few looks at the counter: at most 20 when it has its CPU to itself, and
 * as many more as it has to wait for others.
 */
function usedOneSecond(end: RunEnd): void {
  expect(end.cpuTimeUs).toBeGreaterThanOrEqual(1_000_000);
  expect(end.cpuTimeUs).toBeLessThanOrEqual(1_100_000);
  const waited = Math.max(1, end.wallTimeUs / end.cpuTimeUs);
  expect(end.counterReads).toBeLessThanOrEqual(20 * waited);
}

function within64Mib(end: RunEnd): void {
  expect(end.memoryBytesPeak).toBeLessThanOrEqual(64 * MIB);
  expect(end.memoryBytesPeak).toBeGreaterThan(60 * MIB);
  expect(end.oomKills).toBeGreaterThanOrEqual(1);
}

function waitedHalfASecond(end: RunEnd): void {
  expect(end.wallTimeUs).toBeGreaterThanOrEqual(500_000);
  expect(end.wallTimeUs).toBeLessThan(600_000);
  expect(end.cpuTimeUs).toBeLessThan(100_000);
}

const oneSecond = { cpuTimeMs: 1_000, wallTimeMs: 10_000, cpus: 1 };

const rows: readonly Row[] = [
  {
    title: 'CPU time of one thread',
    program: 'burn',
    args: ['self'],
    limits: oneSecond,
    outcome: 'cpu_limit',
    check: usedOneSecond,
  },
  {
    title: 'CPU time of four threads',
    program: 'burn',
    args: ['threads', '4'],
    limits: { ...oneSecond, cpus: 2 },
    outcome: 'cpu_limit',
    check: usedOneSecond,
  },
  {
    title: 'CPU time of a child',
    program: 'burn',
    args: ['child'],
    limits: oneSecond,
    outcome: 'cpu_limit',
    check: usedOneSecond,
  },
  {
    title: 'memory',
    program: 'eat',
    args: ['200'],
    limits: { memoryBytes: 64 * MIB },
    outcome: 'memory_limit',
    check: within64Mib,
  },
  {
    title: 'memory of a child whose parent lives on',
    program: 'eat',
    args: ['200', 'child'],
    limits: { memoryBytes: 64 * MIB },
    outcome: 'memory_limit',
    check: within64Mib,
  },
  {
    title: 'processes of a fork bomb',
    program: 'fork_bomb',
    limits: { processes: 16, wallTimeMs: 500, cpuTimeMs: 10_000 },
    outcome: 'wall_limit',
    check: (end) => {
      expect(end.processesPeak).toBeLessThanOrEqual(16);
      expect(end.processesPeak).toBeGreaterThan(10);
    },
  },
  {
    title: 'bytes of stdout',
    program: 'flood',
    args: ['1'],
    limits: { outputBytes: MIB },
    outcome: 'output_limit',
    check: (end) => {
      expect(end.stdout).toHaveLength(MIB);
      expect(end.stdoutTruncated).toBe(true);
      expect(end.stderrTruncated).toBe(false);
    },
  },
  {
    title: 'bytes of stderr',
    program: 'flood',
    args: ['2'],
    limits: { outputBytes: MIB },
    outcome: 'output_limit',
    check: (end) => {
      expect(end.stderr).toHaveLength(MIB);
      expect(end.stderrTruncated).toBe(true);
    },
  },
  {
    title: 'bytes of files',
    program: 'fill',
    args: ['bytes'],
    limits: { diskBytes: 16 * MIB },
    outcome: 'disk_limit',
    check: (end) => {
      expect(end.exitCode).toBe(1);
      expect(end.diskBytes).toBeLessThanOrEqual(16 * MIB);
      expect(Number.parseInt(end.stdout)).toBeGreaterThan(14 * MIB);
    },
  },
  {
    title: 'number of files',
    program: 'fill',
    args: ['inodes'],
    limits: { files: 1_000 },
    outcome: 'disk_limit',
    check: (end) => {
      const files = Number.parseInt(end.stdout);
      expect(files).toBeLessThanOrEqual(1_000);
      expect(files).toBeGreaterThan(950);
    },
  },
  {
    title: 'wall time of one that waits',
    program: 'wait',
    args: ['pause'],
    limits: { wallTimeMs: 500 },
    outcome: 'wall_limit',
    check: waitedHalfASecond,
  },
  {
    title: 'wall time of one that stops itself',
    program: 'wait',
    args: ['stop'],
    limits: { wallTimeMs: 500 },
    outcome: 'wall_limit',
    check: waitedHalfASecond,
  },
];

describe('limits of a box', () => {
  let sandbox: NativeSandbox;
  beforeAll(async () => {
    sandbox = await startTestSandbox();
  });
  afterAll(() => sandbox.stop());

  it.each(rows)('$title: $outcome', async ({ outcome, check, ...run }) => {
    const end = await runInBox(sandbox, run);
    expect(end.outcome).toBe(outcome);
    check(end);
  });

  it('are for what exceeds them: 32 MiB are fine, and reported', async () => {
    const end = await runInBox(sandbox, {
      program: 'eat',
      args: ['32'],
      limits: { memoryBytes: 64 * MIB },
    });
    expect(end).toMatchObject({ outcome: 'exited', exitCode: 0, oomKills: 0 });
    expect(Math.abs(end.memoryBytesPeak - 32 * MIB)).toBeLessThanOrEqual(3 * MIB);
  });

  it('of output drop the rest and go on, when told to truncate', async () => {
    const end = await runInBox(sandbox, {
      program: 'flood',
      args: ['1', String(4 * MIB)],
      limits: { outputBytes: MIB },
      truncateOutput: true,
    });
    expect(end).toMatchObject({ outcome: 'exited', exitCode: 0, stdoutTruncated: true });
    expect(end.stdout).toHaveLength(MIB);
  });

  it('are exact: output of just the limit is not too much', async () => {
    const end = await runInBox(sandbox, {
      program: 'flood',
      args: ['1', String(MIB)],
      limits: { outputBytes: MIB },
    });
    expect(end).toMatchObject({ outcome: 'exited', stdoutTruncated: false });
    expect(end.stdout).toHaveLength(MIB);
  });

  it('of CPUs slow a program down', async () => {
    const end = await runInBox(sandbox, {
      program: 'burn',
      limits: { cpus: 0.2, wallTimeMs: 1_000, cpuTimeMs: 5_000 },
    });
    expect(end.outcome).toBe('wall_limit');
    expect(end.cpuTimeUs).toBeLessThan(350_000);
    expect(end.cpuTimeUs).toBeGreaterThan(100_000);
  });

  it('free the slot of a fork bomb within 300 ms of its end', async () => {
    const run = { program: 'fork_bomb', limits: { processes: 16, wallTimeMs: 300 } };
    const box = await openBox(sandbox, run);
    void box.put(filesOf(run));
    const end = await box.step(stepOf(run), () => undefined);
    const endedAt = performance.now();
    await box.close();
    expect(performance.now() - endedAt).toBeLessThan(300);
    expect(end.wallTimeUs).toBeLessThan(600_000);
  });
});
