/** What would stop whoever gets past the first wall: the jail, the capabilities, the hardening of the binary. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import { weakSupervisor } from '../helpers/attacks.js';
import { runInBox, startTestSandbox } from '../helpers/boxes.js';
import { childrenOf } from '../helpers/processes.js';

const BUILD = fileURLToPath(new URL('../../native/build/', import.meta.url));

/** Numbers of linux/capability.h. */
const CAPABILITY = {
  CHOWN: 0,
  DAC_OVERRIDE: 1,
  FOWNER: 3,
  KILL: 5,
  SETGID: 6,
  SETUID: 7,
  SYS_ADMIN: 21,
  MKNOD: 27,
} as const;
type Capability = keyof typeof CAPABILITY;
const BOTH: readonly Capability[] = [
  'CHOWN',
  'DAC_OVERRIDE',
  'KILL',
  'SETGID',
  'SETUID',
  'SYS_ADMIN',
];

function statusOf(pid: number): Map<string, string> {
  const lines = readFileSync(`/proc/${pid}/status`, 'utf8').trim().split('\n');
  return new Map(lines.map((line) => line.split(':\t', 2) as [string, string]));
}

function capabilities(pid: number, set: string): string[] {
  const bits = BigInt(`0x${statusOf(pid).get(set) ?? ''}`);
  const known = Object.entries(CAPABILITY).filter(([, bit]) => (bits >> BigInt(bit)) & 1n);
  const all = known.reduce((sum, [, bit]) => sum | (1n << BigInt(bit)), 0n);
  return [
    ...known.map(([name]) => name),
    ...(all === bits ? [] : [`others: ${bits ^ all}`]),
  ].sort();
}

describe.each([
  ['supervisor', BOTH],
  ['maker', [...BOTH, 'FOWNER', 'MKNOD']],
] as const)('the %s', (which, wanted) => {
  let sandbox: NativeSandbox;
  let pid: number;
  beforeAll(async () => {
    sandbox = await startTestSandbox();
    await runInBox(sandbox, { argv: ['true'] });
    const supervisor = sandbox.supervisorPid() ?? 0;
    pid = which === 'supervisor' ? supervisor : (childrenOf(supervisor)[0] ?? 0);
  });
  afterAll(() => sandbox.stop());

  it('has exactly the capabilities that it needs, and can get no others', () => {
    for (const set of ['CapEff', 'CapPrm', 'CapBnd']) {
      expect(capabilities(pid, set), set).toEqual([...wanted].sort());
    }
    expect(capabilities(pid, 'CapInh')).toEqual([]);
    expect(capabilities(pid, 'CapAmb')).toEqual([]);
    expect(capabilities(process.pid, 'CapEff').length, 'the control').toBeGreaterThan(
      wanted.length,
    );
  });

  it('sees no file system of the host', () => {
    const mounts = readFileSync(`/proc/${pid}/mountinfo`, 'utf8').trim().split('\n');
    const points = mounts.map((line) => line.split(' ')[4] ?? '');
    for (const point of points) expect(point).toMatch(/^\/(proc|layers\/\d+)?$/);
    const layers = mounts.filter((line) => line.includes(' /layers/'));
    expect(layers.length).toBeGreaterThan(0);
    for (const line of layers) expect(line.split(' ')[5]).toMatch(/^ro,nosuid,nodev/);
    const ours = readFileSync('/proc/self/mountinfo', 'utf8').trim().split('\n');
    expect(ours.length, 'the control').toBeGreaterThan(points.length);
    expect(readlinkSync(`/proc/${pid}/ns/mnt`)).not.toBe(readlinkSync('/proc/self/ns/mnt'));
  });

  it('has a root with nothing but its own few directories', () => {
    expect(readdirSync(`/proc/${pid}/root`).sort()).toEqual(['layers', 'm', 'proc', 's']);
  });

  it('holds no descriptor of a file of the host but control groups', () => {
    const targets = readdirSync(`/proc/${pid}/fd`).map((fd) => {
      const link = readlinkSync(join(`/proc/${pid}/fd`, fd));
      return link.replace(/:\[\d+\]$/, '');
    });
    for (const target of targets) {
      expect(target).toMatch(
        /^(socket|pipe|anon_inode|\/dev\/null|pipe|\/?(sys\/fs\/cgroup.*|.*mayfly-[0-9a-f]{12}.*)|\/$|\/(tmp\/)?.*log|\/dev\/pts.*)/,
      );
    }
  });
});

describe('the supervisor that is shipped', () => {
  const readelf = (...args: string[]): string =>
    execFileSync('readelf', ['--wide', ...args, join(BUILD, 'mayfly-supervisor')], {
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
    });

  it('is static, position independent, and writable nowhere that is executed', () => {
    expect(readelf('--file-header')).toMatch(/Type:\s+DYN/);
    const segments = readelf('--segments');
    expect(segments).not.toMatch(/INTERP/);
    expect(segments).toMatch(/GNU_RELRO/);
    expect(segments).toMatch(/GNU_STACK.* RW /);
    expect(segments).not.toMatch(/LOAD.* RWE /);
    expect(readelf('--dynamic')).toMatch(/FLAGS.*BIND_NOW|FLAGS_1.*NOW/);
    expect(readelf('--dynamic')).toMatch(/PIE/);
  });

  it('checks its stack and its copies', () => {
    const symbols = readelf('--symbols');
    expect(symbols).toMatch(/__stack_chk_fail/);
    expect(symbols).toMatch(/__[a-z]+_chk\b/);
  });

  it('has no switch that turns a defence off', () => {
    const shipped = readFileSync(join(BUILD, 'mayfly-supervisor'));
    const weak = readFileSync(weakSupervisor(['filter']));
    for (const word of ['leftovers', 'dumpable']) {
      expect(weak.includes(word), `the control: ${word}`).toBe(true);
      expect(shipped.includes(word), word).toBe(false);
    }
    expect(readelf('--symbols')).not.toMatch(/\bweak\b(?!.*libc)$/m);
  });
});
