import { describe, expect, it } from 'vitest';
import { parseJobRequest } from '../../services/contract/job-spec.js';
import { PLAN_DEFAULTS } from '../../services/contract/plan.js';

const grade = { language: 'python', source: 'pass' };
const request = (more: object) => ({ language: 'c', source: 'x', grade, ...more });

function problems(body: object, plan = PLAN_DEFAULTS): string[] {
  const parsed = parseJobRequest(body, plan);
  return parsed.ok ? [] : parsed.issues.map(({ path, message }) => `${path} ${message}`);
}

function harnessOf(more: object, plan = PLAN_DEFAULTS) {
  const parsed = parseJobRequest(request({ grade: { ...grade, ...more } }), plan);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
  return parsed.job.spec.grade;
}

describe('a grade job', () => {
  it('has a harness in normal form, with time to wait for the program', () => {
    const files = [{ path: 'tests/1', content: 'a' }];
    expect(harnessOf({ files, args: ['x'], env: { A: '1' } })).toMatchObject({
      language: 'python',
      cwd: '/box',
      files: [{ path: '/box/main.py' }, { path: '/box/tests/1' }],
      args: ['x'],
      env: { A: '1' },
      limits: { wallTimeMs: 120_000, outputBytes: 16 * 1024 * 1024, cpuTimeMs: 5_000 },
      compile: null,
    });
    const plan = { ...PLAN_DEFAULTS, limitMaxima: { wallTimeMs: 30_000 } };
    expect(harnessOf({}, plan)?.limits.wallTimeMs).toBe(30_000);
    expect(harnessOf({ limits: { wallTimeMs: 7 } })?.limits.wallTimeMs).toBe(7);
    expect(harnessOf({ language: 'c' })?.compile).not.toBeNull();
  });

  it.each<[string, object]>([
    ['tests does not go with grade', { tests: [{}] }],
    ['judge does not go with grade', { judge: {} }],
    ['interactive does not go with grade', { interactive: true }],
    ['collect does not go with grade', { collect: ['a'] }],
    ['mergeStderr does not go with grade', { mergeStderr: false }],
    ['archives does not go with grade', { archives: [{ content: '', format: 'zip' }] }],
    ['steps goes with image', { steps: [{ name: 'a', argv: ['a'] }] }],
    [
      'processes goes with image',
      {
        processes: [
          { name: 'a', argv: ['a'] },
          { name: 'b', argv: ['b'] },
        ],
      },
    ],
    [
      'grade goes with language',
      {
        language: undefined,
        source: undefined,
        image: 'base',
        steps: [{ name: 'a', argv: ['a'] }],
      },
    ],
    ['stdin is given by the harness', { stdin: 'a' }],
    ['args is given by the harness', { args: ['a'] }],
    ['cwd must be /box or below it', { cwd: '/tmp' }],
    ['files[0].blob does not go with grade', { files: [{ path: 'a', blob: 'a'.repeat(64) }] }],
    [
      'grade.files[0].blob does not go with grade',
      { grade: { ...grade, files: [{ path: 'a', blob: 'a'.repeat(64) }] } },
    ],
    [
      'grade.files[0].path must be under /box or /tmp',
      { grade: { ...grade, files: [{ path: '/mnt/data/a', content: '' }] } },
    ],
    [
      'grade.files[0].path must be relative',
      { grade: { ...grade, files: [{ path: '/etc/a', content: '' }] } },
    ],
    ['grade.source is missing', { grade: { language: 'python' } }],
    ['grade.language must be one of', { grade: { source: 'a' } }],
    ['grade.compile python is not compiled', { grade: { ...grade, compile: {} } }],
    ['grade.tests is not a known field', { grade: { ...grade, tests: [] } }],
    ['grade.limits.cpus must be from', { grade: { ...grade, limits: { cpus: 9 } } }],
    [
      'grade.args args and env must be at most',
      { grade: { ...grade, args: ['a'.repeat(99_999)] } },
    ],
    [
      'grade.files must be at most',
      { grade: { ...grade, source: 'a'.repeat(16 * 1024 * 1024 + 1) } },
    ],
  ])('is refused: %s', (problem, more) => {
    const found = problems(request(more));
    expect(found.map((each) => each.slice(0, problem.length))).toContain(problem);
  });

  it('is held to the plan', () => {
    const images = (...names: string[]) => ({ ...PLAN_DEFAULTS, images: names });
    const java = request({ grade: { language: 'java', source: 'x' } });
    expect(problems(java, images('base'))).toEqual([
      expect.stringMatching(/^grade.language needs the image /),
    ]);
    const plan = { ...PLAN_DEFAULTS, limitMaxima: { cpuTimeMs: 100 } };
    const asks = request({ grade: { ...grade, limits: { cpuTimeMs: 200 } } });
    expect(problems(asks, plan)).toContain(
      'grade.limits.cpuTimeMs must be at most 100 by your plan',
    );
  });
});
