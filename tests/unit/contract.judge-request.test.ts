import { describe, expect, it } from 'vitest';
import { parseJobRequest } from '../../services/contract/job-spec.js';

const request = (more: object) => ({ language: 'cpp', source: 'x', tests: [{}], ...more });

function problems(body: object): string[] {
  const parsed = parseJobRequest(body);
  return parsed.ok ? [] : parsed.issues.map(({ path, message }) => `${path} ${message}`);
}

describe('a judge job', () => {
  it('has tests in normal form', () => {
    const parsed = parseJobRequest(
      request({
        limits: { cpuTimeMs: 100 },
        tests: [{ stdin: 'a' }, { name: 'big', limits: { cpuTimeMs: 200 }, points: 5, group: 'g' }],
      }),
    );
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
    expect(parsed.job.spec.judge).toMatchObject({
      stopOn: 'never',
      parallel: 4,
      checker: { kind: 'lines' },
      timing: 'shared',
      report: { on: 'failed', stdoutBytes: 4_096 },
      tests: [
        { name: '1', stdin: { content: 'a' }, expectedStdout: null, points: 1, group: null },
        { name: 'big', limits: { cpuTimeMs: 200 }, points: 5, group: 'g' },
      ],
    });
    expect(parsed.job.spec.judge?.tests[0]?.limits.cpuTimeMs).toBe(100);
  });

  it('has tolerances of 1e-6 unless it says one', () => {
    const floats = (more: object) => {
      const parsed = parseJobRequest(request({ judge: { checker: { kind: 'floats', ...more } } }));
      return parsed.ok ? parsed.job.spec.judge?.checker : null;
    };
    expect(floats({})).toEqual({ kind: 'floats', absolute: 1e-6, relative: 1e-6 });
    expect(floats({ absolute: 0.1 })).toEqual({ kind: 'floats', absolute: 0.1, relative: 0 });
  });

  it.each<[string, object]>([
    ['tests must have a test', { tests: [] }],
    ['tests must be at most 1000 tests', { tests: Array.from({ length: 1_001 }, () => ({})) }],
    ['tests[1].name is used by an earlier test', { tests: [{ name: 'a' }, { name: 'a' }] }],
    ['tests[0].surprise is not a known field', { tests: [{ surprise: 1 }] }],
    ['tests[0].points must be from 0 to 1000000', { tests: [{ points: -1 }] }],
    ['tests[0].stdin must be base64', { tests: [{ stdin: '!', stdinEncoding: 'base64' }] }],
    [
      'tests[0].files[0].path must be relative',
      { tests: [{ files: [{ path: '/etc/x', content: '' }] }] },
    ],
    [
      'tests[0].limits.diskBytes must be below memoryBytes',
      {
        tests: [{ limits: { memoryBytes: 8_388_608, diskBytes: 8_388_608 } }],
      },
    ],
    ['stdin goes with each of the tests', { stdin: 'a' }],
    ['args goes with each of the tests', { args: ['a'] }],
    ['collect does not go with tests', { collect: ['a'] }],
    ['mergeStderr does not go with tests', { mergeStderr: true }],
    ['cwd must be /box or below it', { cwd: '/tmp' }],
    ['judge.report.transcript goes with interactor', { judge: { report: { transcript: true } } }],
    [
      'judge.checker does not go with interactor',
      { judge: { interactor: { language: 'c', source: 'x' }, checker: { kind: 'lines' } } },
    ],
    [
      'judge.timing exclusive does not go with interactor',
      { judge: { interactor: { language: 'c', source: 'x' }, timing: 'exclusive' } },
    ],
    ['judge.interactor.source is missing', { judge: { interactor: { language: 'c' } } }],
    [
      'judge.interactor.files[0].blob does not go with tests',
      {
        judge: {
          interactor: {
            language: 'c',
            source: 'x',
            files: [{ path: 'a', blob: '0'.repeat(64) }],
          },
        },
      },
    ],
    ['judge goes with tests', { tests: undefined, judge: {} }],
    ['judge.parallel must be from 1 to 64', { judge: { parallel: 0 } }],
    ['judge.stopOn must be one of', { judge: { stopOn: 'later' } }],
    ['judge.timing must be one of shared, exclusive', { judge: { timing: 'alone' } }],
    ['judge.report.on must be one of', { judge: { report: { on: 'sometimes' } } }],
    [
      'judge.report.stdoutBytes must be from 0 to 16384',
      { judge: { report: { stdoutBytes: 1e9 } } },
    ],
    ['judge.checker.kind must be one of exact', { judge: { checker: { kind: 'magic' } } }],
    [
      'judge.checker.absolute must be from 0 to 1',
      { judge: { checker: { kind: 'floats', absolute: 2 } } },
    ],
    [
      'judge.checker.absolute is not a known field',
      { judge: { checker: { kind: 'lines', absolute: 1 } } },
    ],
    [
      'judge.checker.source is missing',
      { judge: { checker: { kind: 'program', language: 'cpp' } } },
    ],
    [
      'judge.checker.compile python is not compiled',
      {
        judge: { checker: { kind: 'program', language: 'python', source: '', compile: {} } },
      },
    ],
    [
      'judge.checker.limits.cpuTimeMs must be',
      {
        judge: {
          checker: { kind: 'program', language: 'python', source: '', limits: { cpuTimeMs: 0 } },
        },
      },
    ],
  ])('is refused: %s', (problem, more) => {
    expect(problems(request(more)).join('\n')).toContain(problem);
  });

  it('is of a language', () => {
    const steps = [{ name: 'a', argv: ['true'] }];
    expect(problems({ image: 'base', steps, tests: [{}], judge: {} })).toEqual([
      'tests goes with language',
      'judge goes with language',
    ]);
  });
});
