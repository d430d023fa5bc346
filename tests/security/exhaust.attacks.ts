/** More than the limits of a step give. The control has no limits; each attack stops by itself. */
import { expect } from 'vitest';
import type { Outcome } from '../../services/contract/outcomes.js';
import type { LimitsRequest } from '../../services/contract/limits.js';
import type { Attack } from '../helpers/attacks.js';
import { MIB, type RunEnd } from '../helpers/boxes.js';

const outcome =
  (...expected: readonly Outcome[]) =>
  (end: RunEnd): void => {
    expect(expected).toContain(end.outcome);
  };

function limited(
  title: string,
  attack: readonly string[],
  limits: LimitsRequest,
  stopped?: Attack['stopped'],
): Attack {
  return { title, attack, limits, control: ['limits'], ...(stopped && { stopped }) };
}

function processesAtMost(most: number) {
  return (end: RunEnd): void => {
    expect(end.processesPeak).toBeLessThanOrEqual(most);
    expect(end.stdout).toMatch(/^held: /m);
  };
}

const processes = ['fork', 'threads', 'daemons'].map((how) =>
  limited(
    `cannot have more processes than allowed: ${how}`,
    ['processes', how, '100'],
    { processes: 16 },
    processesAtMost(16),
  ),
);

const memory = [
  'anonymous',
  'shm',
  'memfd',
  'pipes',
  'sockets',
  '/tmp/memory',
  '/dev/shm/memory',
].map((how) =>
  limited(
    `cannot have more memory than allowed: ${how}`,
    ['memory', how, '64'],
    { memoryBytes: 24 * MIB, stackBytes: 128 * MIB, fileBytes: 256 * MIB, openFiles: 1_024 },
    (end) => {
      expect(end.memoryBytesPeak).toBeLessThanOrEqual(24 * MIB);
      expect(['memory_limit', 'disk_limit', 'exited']).toContain(end.outcome);
    },
  ),
);

const disk: readonly Attack[] = [
  limited('cannot write more than the disk', ['write_file', String(16 * MIB)], {
    diskBytes: 4 * MIB,
  }),
  limited('cannot write a larger file than allowed', ['write_file', String(8 * MIB)], {
    fileBytes: MIB,
  }),
  limited('cannot make a sparse file of 1 TiB', ['write_file', String(2 ** 40), 'sparse'], {}),
  limited('cannot make more files than allowed', ['files', '400', '20'], { files: 100 }),
  limited('cannot make more files by longest names', ['files', '400', '250'], { files: 100 }),
  limited('cannot make deeper directories than inodes', ['files', '400', 'deep'], { files: 100 }),
  limited('cannot leave a core file', ['core'], {}),
];

const rest: readonly Attack[] = [
  limited('cannot open more descriptors than allowed', ['open_files', '200'], { openFiles: 64 }),
  limited(
    'cannot have more stack than allowed',
    ['memory', 'stack', '6'],
    { stackBytes: 2 * MIB },
    outcome('signaled'),
  ),
  limited('cannot pass arguments without end', ['arguments'], { stackBytes: 4 * MIB }),
  ...['1', '2'].map((stream) =>
    limited(
      `cannot write more output than allowed to ${stream}`,
      ['output', stream, '4'],
      { outputBytes: 65_536 },
      (end) => {
        expect(end.outcome).toBe('output_limit');
        expect(end.stdout.length + end.stderr.length).toBeLessThanOrEqual(65_536);
      },
    ),
  ),
  ...['self', 'threads', 'child', 'orphan'].map((how) =>
    limited(
      `cannot burn more CPU than allowed: ${how}`,
      ['cpu', how, '400'],
      { cpuTimeMs: 100 },
      outcome('cpu_limit'),
    ),
  ),
  ...['sleeping', 'deaf', 'stopped', 'reading'].map((how) =>
    limited(
      `cannot stay longer than allowed: ${how}`,
      ['wall', how, '500'],
      { wallTimeMs: 200 },
      outcome('wall_limit'),
    ),
  ),
];

/** Kept by sockets for readers that never read; charged apart from memory on control groups v1. */
const sockets = limited(
  'cannot keep more in UDP sockets than it has memory',
  ['udp', '64'],
  { memoryBytes: 24 * MIB, openFiles: 1_024 },
  outcome('exited', 'memory_limit'),
);

export const exhaust: readonly Attack[] = [...processes, ...memory, ...disk, ...rest, sockets];
