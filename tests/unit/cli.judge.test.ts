import { describe, expect, it } from 'vitest';
import { isAsExpected } from '../../services/cli/expectations.js';
import { jobOf, languageOfEnding, readProblem } from '../../services/cli/problem-package.js';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jobRequestSchema } from '../../services/contract/job-request.js';
import type { Job } from '../../services/contract/job.js';
import type { JobVerdict, Verdict } from '../../services/contract/judging.js';

type Ended = Pick<Job, 'status' | 'verdict' | 'tests'>;

function ended(verdict: JobVerdict | null, ...tests: Verdict[]): Ended {
  const results = tests.map((each) => ({ verdict: each })) as NonNullable<Job['tests']>;
  return { status: 'finished', verdict, tests: results };
}

describe('what a folder of submissions says', () => {
  it.each<[string, Ended, boolean]>([
    ['accepted', ended('accepted', 'accepted'), true],
    ['accepted', ended('wrong_answer', 'accepted', 'wrong_answer'), false],
    ['wrong_answer', ended('wrong_answer', 'accepted', 'wrong_answer'), true],
    ['wrong_answer', ended('accepted', 'accepted'), false],
    ['wrong_answer', ended('wrong_answer', 'wrong_answer', 'time_limit'), false],
    ['time_limit_exceeded', ended('wrong_answer', 'wrong_answer', 'time_limit'), true],
    ['time_limit_exceeded', ended('time_limit', 'time_limit', 'runtime_error'), false],
    ['run_time_error', ended('time_limit', 'time_limit', 'memory_limit'), true],
    ['run_time_error', ended('judge_fault', 'runtime_error', 'judge_fault'), false],
    ['compiler_error', ended('compile_error'), true],
    ['run_time_error', ended('compile_error'), false],
    ['nonsense', ended('accepted', 'accepted'), false],
    ['constructor', ended('accepted', 'accepted'), false],
    ['accepted', { ...ended('accepted', 'accepted'), status: 'failed' }, false],
  ])('%s: %j is %s', (folder, job, expected) => {
    expect(isAsExpected(folder, job)).toBe(expected);
  });
});

describe('a problem package', () => {
  function packageOf(settings: string, files: Record<string, string | Buffer> = {}) {
    const folder = mkdtempSync(join(tmpdir(), 'mayfly-package-'));
    const all = { 'problem.yaml': settings, 'data/secret/1.in': 'in', 'data/secret/1.ans': 'a' };
    try {
      for (const [path, content] of Object.entries({ ...all, ...files })) {
        mkdirSync(join(folder, path, '..'), { recursive: true });
        writeFileSync(join(folder, path), content);
      }
      return readProblem(folder);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  it('becomes a job that the contract takes', () => {
    const problem = packageOf('limits: {time_limit: 0.5, memory: 64, output: 2}', {
      'data/sample/1.in': Buffer.from([0xff, 0]),
      'data/sample/1.ans': '',
      'data/secret/b/2.in': 'x',
      'data/secret/b/2.ans': 'y',
    });
    const job = jobOf(problem, { path: 'a.py', language: 'python', source: 'print()' });
    const parsed = jobRequestSchema.parse(job);
    expect(parsed.limits).toEqual({ cpuTimeMs: 500, memoryBytes: 2 ** 26, outputBytes: 2 ** 21 });
    expect(parsed.tests?.map(({ name, stdin }) => [name, stdin])).toEqual([
      ['sample/1', '/wA='],
      ['secret/1', 'in'],
      ['secret/b/2', 'x'],
    ]);
  });

  it('says how outputs are compared', () => {
    const checker = (flags: string) => packageOf(`validator_flags: ${flags}`).judge.checker;
    expect(checker('')).toEqual({ kind: 'tokens' });
    expect(checker('case_sensitive space_change_sensitive')).toEqual({ kind: 'exact' });
    expect(checker('float_tolerance 1e-4')).toEqual({
      kind: 'floats',
      absolute: 1e-4,
      relative: 1e-4,
    });
    expect(checker('float_absolute_tolerance 1e-4')).toEqual({ kind: 'floats', absolute: 1e-4 });
    expect(() => checker('float_tolerance')).toThrow('not from 0 to 1');
    expect(() => checker('anything')).toThrow('anything is not known');
    expect(() => checker('space_change_sensitive float_tolerance 1')).toThrow('not supported');
  });

  it('has its time limit in any of three places', () => {
    const limit = (path: string, text: string) => packageOf('', { [path]: text }).limits;
    expect(limit('.timelimit', '2\n')).toEqual({ cpuTimeMs: 2_000 });
    expect(limit('domjudge-problem.ini', "name='x'\ntimelimit='1.5'\n")).toEqual({
      cpuTimeMs: 1_500,
    });
    expect(() => limit('.timelimit', 'soon')).toThrow('no number of seconds');
  });

  it('cannot blow up by aliases', () => {
    expect(() => packageOf('a: &a [1]\nname: x\nb: *a\n')).toThrow('problem.yaml');
  });

  it('is interactive by either version of the format', () => {
    const legacy = { 'output_validators/talk/a.py': 'print()', 'output_validators/talk/b.h': '' };
    const newer = { 'output_validator/a.py': 'print()' };
    const interactor = { protocol: 'domjudge', language: 'python', source: 'print()' };
    const judge = (settings: string, files: Record<string, string>) =>
      packageOf(settings, files).judge;
    expect(judge('validation: custom interactive\nvalidator_flags: x y', legacy)).toMatchObject({
      interactor: { ...interactor, args: ['x', 'y'], files: [{ path: 'b.h' }] },
    });
    for (const type of ['interactive', '[pass-fail, interactive]', 'pass-fail interactive']) {
      expect(judge(`type: ${type}`, newer)).toMatchObject({ interactor });
    }
    expect(judge('type: pass-fail', newer)).toEqual({ checker: { kind: 'tokens' } });
  });

  it('cannot do with several programs as its validator', () => {
    const validators = { 'output_validators/a.py': '', 'output_validators/b.py': '' };
    expect(() => packageOf('validation: custom', validators)).toThrow('one program, found 2');
    expect(() => packageOf('validation: custom')).toThrow('one program, found 0');
  });

  it('knows languages by their endings', () => {
    const languages = ['a.cpp', 'a.CC', 'a.py', 'Main.java', 'a', 'a.unknown', '.py'];
    expect(languages.map(languageOfEnding)).toEqual([
      ...['cpp', 'cpp', 'python', 'java'],
      ...[null, null, 'python'],
    ]);
  });
});

/** A package stands alone and may not link out of itself, so what does not depend on the problem is in each of them. */
it('the packages of the fixtures have the same bad submissions', () => {
  const problems = join(import.meta.dirname, '../fixtures/problems');
  const general = [
    ['run_time_error', 'crash'],
    ['run_time_error', 'hungry'],
    ['time_limit_exceeded', 'slow'],
    ['wrong_answer', 'cheat'],
  ] as const;
  for (const [folder, name] of general) {
    for (const ending of ['cpp', 'java', 'py']) {
      const texts = readdirSync(problems).map((problem) =>
        readFileSync(join(problems, problem, 'submissions', folder, `${name}.${ending}`), 'utf8'),
      );
      expect(texts).toHaveLength(readdirSync(problems).length);
      expect(new Set(texts).size, `${folder}/${name}.${ending}`).toBe(1);
    }
  }
});
