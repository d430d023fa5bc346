// `mayfly judge` over whole problem packages, against the real stack.
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestStack, type TestStack } from '../helpers/stack.js';

const root = join(import.meta.dirname, '..', '..');
const problems = join(root, 'tests', 'fixtures', 'problems');
const scratch = mkdtempSync(join(tmpdir(), 'mayfly-judge-'));
let stack: TestStack;

beforeAll(async () => {
  stack = await startTestStack();
});

afterAll(async () => {
  await stack.stop();
  rmSync(scratch, { recursive: true });
});

function mayfly(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((resolve) => {
    const { url, apiKey } = stack.stack;
    const child = spawn(join(root, 'bin', 'mayfly'), ['judge', ...args], {
      env: { PATH: process.env['PATH'], MAYFLY_URL: url, MAYFLY_API_KEY: apiKey },
    });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    child.on('close', (code) => resolve({ code, out, err }));
  });
}

interface Verified {
  readonly submission: string;
  readonly expected: string;
  readonly got: string;
  readonly asExpected: boolean;
  readonly note: string;
}

/** A package of the fixtures that may be changed. */
function copyOf(problem: string, name: string): string {
  const copy = join(scratch, name);
  cpSync(join(problems, problem), copy, { recursive: true });
  return copy;
}

describe('mayfly judge', () => {
  it.each(readdirSync(problems))('--verify passes on %s', async (problem) => {
    const { code, out, err } = await mayfly(
      join(problems, problem),
      '--verify',
      '--json',
      '--skip-missing',
    );
    expect(err).toBe('');
    const results = JSON.parse(out) as Verified[];
    const failed = results.filter(({ asExpected, got }) => !asExpected && got !== 'missing_image');
    expect(failed).toEqual([]);
    const missing = results.filter(({ got }) => got === 'missing_image');
    expect(missing.filter(({ submission }) => !submission.endsWith('.java'))).toEqual([]);
    for (const { note } of missing) expect(note).toContain('mayfly images build jvm');
    const gotOf = (file: string) =>
      results.find(({ submission }) => submission === `submissions/${file}`)?.got;
    for (const language of missing.length > 0 ? ['cpp', 'py'] : ['cpp', 'py', 'java']) {
      // A JVM runs out of its heap before the box runs out of memory, and says so.
      const hungry = language === 'java' ? 'runtime_error' : 'memory_limit';
      expect(gotOf(`run_time_error/hungry.${language}`)).toBe(hungry);
      expect(gotOf(`run_time_error/crash.${language}`)).toBe('runtime_error');
      expect(gotOf(`time_limit_exceeded/slow.${language}`)).toBe('time_limit');
      expect(gotOf(`wrong_answer/cheat.${language}`)).toBe('wrong_answer');
    }
    expect(code).toBe(0);
  });

  it('shows each test of one submission, and exits by the verdict', async () => {
    const folder = join(problems, 'split');
    const wrong = await mayfly(folder, join(folder, 'submissions/wrong_answer/nothing.cpp'));
    expect(wrong.out).toMatch(/^secret\/03 +wrong_answer .* 0 and 999 do not make up 999$/m);
    expect(wrong.out).toMatch(/^wrong_answer · 0 of 5 points$/m);
    expect(wrong.code).toBe(1);
    const right = await mayfly(folder, join(folder, 'submissions/accepted/half.cpp'));
    expect(right.out).toMatch(/^accepted · 5 of 5 points$/m);
    expect(right.code).toBe(0);
    const broken = await mayfly(folder, join(folder, 'submissions/compiler_error/broken.cpp'));
    expect(broken.out).toContain('main.cpp');
    expect(broken.code).toBe(1);
  });

  it('--verify fails when a submission is not what its folder says', async () => {
    const folder = copyOf('sum', 'mistaken');
    for (const each of readdirSync(join(folder, 'submissions'))) {
      rmSync(join(folder, 'submissions', each), { recursive: true });
    }
    cpSync(
      join(problems, 'sum/submissions/wrong_answer/absolute.py'),
      join(folder, 'submissions/accepted/absolute.py'),
    );
    const { code, out } = await mayfly(folder, '--verify');
    expect(out).toMatch(/^NO +accepted\/absolute.py +wrong_answer/m);
    expect(out).toMatch(/^Sum: 0 of 1 submissions as expected$/m);
    expect(code).toBe(1);
  });

  it('cannot be made to read what is outside of a package', async () => {
    const folder = copyOf('sum', 'leading-out');
    rmSync(join(folder, 'data/secret/01.in'));
    symlinkSync('/etc/hostname', join(folder, 'data/secret/01.in'));
    const { code, err } = await mayfly(folder, '--verify');
    expect(err).toContain('data/secret/01.in leads out of the package');
    expect(code).toBe(1);
  });

  it('says what is wrong with a package', async () => {
    const said = async (folder: string) => (await mayfly(folder, '--verify')).err;
    expect(await said(scratch)).toContain('no problem.yaml');
    const answerless = copyOf('sum', 'answerless');
    rmSync(join(answerless, 'data/secret/01.ans'));
    expect(await said(answerless)).toContain('data/secret/01.ans is missing');
    const interactive = copyOf('sum', 'interactive');
    writeFileSync(join(interactive, 'problem.yaml'), 'validation: custom interactive\n');
    expect(await said(interactive)).toContain('output_validators: expected one program, found 0');
    const large = copyOf('sum', 'large');
    writeFileSync(join(large, 'data/secret/02.in'), Buffer.alloc(17 * 1024 * 1024, '1 '));
    expect(await said(large)).toMatch(/a job takes 16777216. The largest is data\/secret\/02.in/);
    expect((await mayfly(scratch)).err).toContain('Name a submission, or say --verify.');
  });
});
