/**
 * Attacks and their control runs: the same program against the real supervisor, and where the defence
 * that it is meant to meet is off. An attack counts only when it succeeds there.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SandboxFault } from '../../services/contract/faults.js';
import type { LimitsRequest } from '../../services/contract/limits.js';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import { openBox, runInBox, startTestSandbox, stepOf, type Run, type RunEnd } from './boxes.js';
import { eventually } from './eventually.js';
import { leftovers, nothingLeft } from './leftovers.js';

/** As in native/src/weaken.h. */
export type Weakness =
  | 'budget'
  | 'capabilities'
  | 'cgroups'
  | 'descriptors'
  | 'dumpable'
  | 'files'
  | 'filter'
  | 'ids'
  | 'ipc'
  | 'jail'
  | 'leftovers'
  | 'limits'
  | 'network'
  | 'overlay'
  | 'owner'
  | 'pid'
  | 'pivot'
  | 'proc'
  | 'setuid'
  | 'shared';

export interface Attack {
  /** "cannot ..." */
  readonly title: string;
  /** Name and arguments of an attack of tests/fixtures/attacks; or another command, with `command`. */
  readonly attack?: readonly string[];
  readonly command?: readonly string[];
  /** An attack that runs in another box at the same time, and says "ready". */
  readonly victim?: readonly string[];
  /** Weaknesses with which it succeeds; or that it succeeds as root outside of any box. */
  readonly control: readonly Weakness[] | 'outside';
  /** What it attacks is there on this layout of control groups only. */
  readonly layout?: 'v1';
  readonly limits?: LimitsRequest;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Removes what a control run leaves outside of its box; done before, too, for one that was killed. */
  readonly clear?: () => void;
  /** How it is stopped. Default: it says so itself. */
  readonly stopped?: (end: RunEnd) => void;
}

const NATIVE = fileURLToPath(new URL('../../native/', import.meta.url));
const SOURCES = fileURLToPath(new URL('../fixtures/attacks/', import.meta.url));
const HARM = /^harm: /m;
const HELD = /^held: /m;

let compiled: Buffer | null = null;

/** All attacks in one static program. */
export function attackProgram(): Buffer {
  if (compiled !== null) return compiled;
  const scratch = mkdtempSync(join(tmpdir(), 'attacks-'));
  try {
    const product = join(scratch, 'attacks');
    const sources = readdirSync(SOURCES).filter((name) => name.endsWith('.c'));
    const headers = [`-I${join(NATIVE, 'include')}`, `-I${join(NATIVE, 'src')}`];
    const flags = [...headers, '-std=gnu17', '-D_GNU_SOURCE', '-O1', '-static', '-pthread', '-s'];
    execFileSync('gcc', [...flags, '-o', product, ...sources.map((name) => join(SOURCES, name))]);
    return (compiled = readFileSync(product));
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/** Made here and nowhere else: no build that is shipped has these switches. */
export function weakSupervisor(weaknesses: readonly Weakness[]): string {
  execFileSync('make', ['-C', NATIVE, '--silent', 'weak']);
  const directory = join(NATIVE, 'build', 'weak', [...weaknesses].sort().join('+'));
  const path = join(directory, 'mayfly-supervisor');
  mkdirSync(directory, { recursive: true });
  if (!existsSync(path)) symlinkSync('../mayfly-supervisor', path);
  return path;
}

/** The real sandbox, and beside it the weak one that was wanted last. */
export interface Range {
  sandbox(weaknesses: readonly Weakness[]): Promise<NativeSandbox>;
  attack(attack: Attack): Promise<RunEnd>;
  control(attack: Attack): Promise<{ readonly stdout: string }>;
  stop(): Promise<void>;
}

export function createRange(): Range {
  const real = startTestSandbox();
  let weak: { readonly name: string; readonly sandbox: NativeSandbox } | null = null;

  /** One weak supervisor at a time: a host has room for eight. */
  async function sandbox(weaknesses: readonly Weakness[]): Promise<NativeSandbox> {
    const name = weaknesses.join('+');
    if (name === '') return real;
    if (weak?.name === name) return weak.sandbox;
    await weak?.sandbox.stop();
    weak = null;
    const started = await startTestSandbox({ supervisorPath: weakSupervisor(weaknesses) });
    weak = { name, sandbox: started };
    return started;
  }

  return {
    sandbox,
    attack: async (attack) => attempt(await sandbox([]), attack),
    async control(attack) {
      if (attack.control === 'outside') return attemptOutside(attack);
      attack.clear?.();
      try {
        return await attempt(await sandbox(attack.control), attack).catch(brokenBox);
      } finally {
        attack.clear?.();
      }
    },
    async stop() {
      await weak?.sandbox.stop();
      await (await real).stop();
    },
  };
}

/** A box that is destroyed from within is harm as well. */
function brokenBox(error: unknown): { readonly stdout: string } {
  if (error instanceof SandboxFault) return { stdout: `harm: ${error.message}` };
  throw error;
}

function runOf({ attack, command, limits, cwd, env }: Attack): Run {
  const content = attackProgram();
  return {
    files: [{ path: '/box/attacks', mode: 0o755, content }],
    argv: command ?? ['/box/attacks', ...(attack ?? [])],
    ...(limits === undefined ? {} : { limits }),
    ...(cwd === undefined ? {} : { cwd }),
    ...(env === undefined ? {} : { env }),
  };
}

async function attempt(sandbox: NativeSandbox, attack: Attack): Promise<RunEnd> {
  if (attack.victim === undefined) return runInBox(sandbox, runOf(attack));
  const { files = [], argv } = runOf({ ...attack, attack: attack.victim });
  const limits = { processes: 16, openFiles: 1_024 };
  const box = await openBox(sandbox);
  try {
    await box.put(files);
    let said = '';
    box.follow();
    const ending = box.step(stepOf({ ...(argv && { argv }), limits }), (_stream, chunk) => {
      said += chunk.toString();
    });
    await eventually(() => said !== '');
    if (said !== 'ready\n') throw new Error(`the victim said: ${said}`);
    const end = await runInBox(sandbox, runOf(attack));
    // Not by closing alone: a weak box has no namespace that dies with it.
    box.cancel();
    await ending;
    return end;
  } finally {
    await box.close();
  }
}

/** As root of this host; the program takes care to leave nothing mounted. */
export function attemptOutside({ attack = [] }: Attack): { readonly stdout: string } {
  const scratch = mkdtempSync(join(tmpdir(), 'attacks-'));
  try {
    const program = join(scratch, 'attacks');
    writeFileSync(program, attackProgram(), { mode: 0o755 });
    const env = { PATH: '/usr/bin:/bin', OUTSIDE: '1' };
    const { stdout } = spawnSync(program, attack, { cwd: scratch, env, encoding: 'utf8' });
    return { stdout };
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

function saysItWasHeld({ stdout }: RunEnd): void {
  expect(stdout).toMatch(HELD);
}

/** So that each weak supervisor is started once. */
function byControl(one: Attack, other: Attack): number {
  return String(one.control).localeCompare(String(other.control));
}

const unified = existsSync('/sys/fs/cgroup/cgroup.controllers');

/** One test for each: first the control, then the attack. */
export function describeAttacks(name: string, all: readonly Attack[]): void {
  const attacks = all.filter(({ layout }) => !(unified && layout === 'v1'));
  describe(name, () => {
    const before = leftovers();
    const range = createRange();
    beforeAll(() => {
      attackProgram();
    });
    afterAll(async () => {
      await range.stop();
      await nothingLeft(before);
      console.info(`${name}: ${attacks.length} attacks, each with its control`);
    });

    it.each([...attacks].sort(byControl))('$title', async (attack) => {
      const control = await range.control(attack);
      expect(control.stdout, 'the control run').toMatch(HARM);
      const end = await range.attack(attack);
      expect(end.stdout).not.toMatch(HARM);
      (attack.stopped ?? saysItWasHeld)(end);
    });
  });
}
