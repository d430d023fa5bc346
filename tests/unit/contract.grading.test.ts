import { describe, expect, it } from 'vitest';
import { createSaidParser, faultOfHarness, type Said } from '../../services/contract/grading.js';
import { parseJobRequest } from '../../services/contract/job-spec.js';
import { createHarnessLines } from '../../workers/executor/judge/harness-lines.js';
import { programOf } from '../../workers/executor/judge/run-judge-task.js';

const MIB = 1024 * 1024;

function programWith(more: object = {}) {
  const source = { language: 'python', source: 'x' };
  const parsed = parseJobRequest({
    ...source,
    grade: source,
    limits: { memoryBytes: 64 * MIB, diskBytes: 60 * MIB, cpuTimeMs: 500 },
    ...more,
  });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
  return programOf(parsed.job.spec);
}

const parse = createSaidParser(programWith());
const say = (value: unknown): Said => parse(Buffer.from(JSON.stringify(value)));

function why(said: Said): string {
  if (said.kind !== 'wrong') throw new Error(`it is a ${said.kind}`);
  return said.why;
}

function limitsOf(limits: object) {
  const said = say({ run: { limits } });
  if (said.kind !== 'run') throw new Error(JSON.stringify(said));
  return said.run.limits;
}

describe('a line of a harness', () => {
  it('asks for a run, with what the job has where it says nothing', () => {
    const { limits } = programWith();
    expect(say({ run: {} })).toEqual({
      kind: 'run',
      run: { stdin: Buffer.alloc(0), args: [], files: [], limits },
    });
    const asked = {
      stdin: 'AP8=',
      stdinEncoding: 'base64',
      args: ['a', 'b'],
      files: [{ path: 'd/a', content: 'x', mode: '0755' }],
    };
    expect(say({ run: asked })).toMatchObject({
      run: {
        stdin: Buffer.from([0, 255]),
        args: ['a', 'b'],
        files: [{ path: '/box/d/a', content: 'x', mode: 0o755 }],
      },
    });
  });

  it('may give a run less than the job has, and no more', () => {
    expect(limitsOf({ cpuTimeMs: 100 })).toEqual({ ...programWith().limits, cpuTimeMs: 100 });
    expect(limitsOf({ memoryBytes: 8 * MIB })).toMatchObject({ diskBytes: 4 * MIB });
    expect(why(say({ run: { limits: { memoryBytes: 65 * MIB } } }))).toMatch(
      /^run.limits.memoryBytes must be from 4194304 to 67108864 bytes/,
    );
  });

  it('is a line of the grade', () => {
    const result = { name: 'a', points: 1, pointsMax: 2 };
    const graded = (more: object) => {
      const said = say({ result: { ...result, ...more } });
      if (said.kind !== 'result') throw new Error(JSON.stringify(said));
      return said.graded;
    };
    expect(graded({})).toEqual({
      plan: { name: 'a', points: 2, group: null },
      result: { name: 'a', verdict: 'wrong_answer', points: 1, message: '' },
    });
    expect(graded({ points: 2, message: 'well' }).result).toMatchObject({
      verdict: 'accepted',
      message: 'well',
    });
    expect(graded({ verdict: 'time_limit' }).result.verdict).toBe('time_limit');
    expect(graded({ points: 0, pointsMax: 0 }).result.verdict).toBe('accepted');
    const { message } = graded({ message: `${'x'.repeat(1_023)}😀 and so on` }).result;
    expect(message).toBe(`${'x'.repeat(1_023)}\ufffd`);
  });

  it.each<[string, unknown]>([
    ['must be {"run": …} or {"result": …}', {}],
    [
      'must be {"run": …} or {"result": …}',
      { run: {}, result: { name: 'a', points: 0, pointsMax: 0 } },
    ],
    ['must be {"run": …} or {"result": …}', [1]],
    ['must be {"run": …} or {"result": …}', null],
    ['outcome is not a known field', { run: {}, outcome: 'exited' }],
    ['run.env is not a known field', { run: { env: {} } }],
    ['run.stdin must be base64', { run: { stdin: '!', stdinEncoding: 'base64' } }],
    ['run.stdin has half a surrogate pair', { run: { stdin: '\ud800' } }],
    ['run.args[0] must not contain NUL', { run: { args: ['\0'] } }],
    ['run.args and env must be at most', { run: { args: ['a'.repeat(99_999)] } }],
    [
      'run.files[0].path must not contain ".."',
      { run: { files: [{ path: '../a', content: '' }] } },
    ],
    ['run.files[0].path must be relative', { run: { files: [{ path: '/etc/a', content: '' }] } }],
    [
      'run.files[0].path must be under /box or /tmp',
      { run: { files: [{ path: '/mnt/data/a', content: '' }] } },
    ],
    [
      'run.files[1].path is given twice',
      {
        run: {
          files: [
            { path: 'a', content: '' },
            { path: '/box/a', content: '' },
          ],
        },
      },
    ],
    [
      'run.files[0].blob does not go with grade',
      { run: { files: [{ path: 'a', blob: 'a'.repeat(64) }] } },
    ],
    ['run.files[0].content is missing', { run: { files: [{ path: 'a' }] } }],
    ['run.limits.cpuTimeMs must be from 1 to 500 ms', { run: { limits: { cpuTimeMs: 0 } } }],
    [
      'run.limits.diskBytes must be below memoryBytes',
      { run: { limits: { memoryBytes: 8 * MIB, diskBytes: 8 * MIB } } },
    ],
    ['result.name must be 1 to 128 characters', { result: { name: '', points: 0, pointsMax: 0 } }],
    ['result.points must be from 0', { result: { name: 'a', points: -1, pointsMax: 0 } }],
    [
      'result.points must be at most pointsMax',
      { result: { name: 'a', points: 1.5, pointsMax: 1 } },
    ],
    [
      'result.pointsMax must be from 0 to 1000000',
      { result: { name: 'a', points: 0, pointsMax: 1_000_001 } },
    ],
    ['result.pointsMax must be from 0', { result: { name: 'a', points: 0 } }],
    [
      'result.verdict',
      { result: { name: 'a', points: 0, pointsMax: 0, verdict: 'compile_error' } },
    ],
    [
      'result.verdict accepted goes with all points',
      { result: { name: 'a', points: 0, pointsMax: 1, verdict: 'accepted' } },
    ],
    [
      'result.index is not a known field',
      { result: { name: 'a', points: 0, pointsMax: 0, index: 7 } },
    ],
  ])('is refused: %s', (problem, value) => {
    expect(why(say(value)).slice(0, problem.length)).toBe(problem);
  });

  it.each([
    ['not JSON', Buffer.from('{"run": {}')],
    ['empty', Buffer.alloc(0)],
    ['not UTF-8', Buffer.from([0x22, 0xff, 0x22])],
    ['deep', Buffer.from('['.repeat(500_000))],
  ])('is refused: %s', (_what, line) => {
    expect(why(parse(line))).toBe('it is not JSON');
  });

  it('is refused with a name that means something to JavaScript', () => {
    for (const name of ['__proto__', 'constructor', 'toString']) {
      const line = Buffer.from(`{"run": {"limits": {"${name}": {"cpuTimeMs": 9}}}}`);
      expect(why(parse(line))).toBe(`run.limits.${name} is not a known field`);
    }
  });

  it.each(['1e999', '-1e999', 'NaN', '"1"', 'null'])('gives no points of %s', (points) => {
    const line = Buffer.from(`{"result": {"name": "a", "points": ${points}, "pointsMax": 1}}`);
    expect(why(parse(line))).toMatch(/^result.points must be|^it is not JSON$/);
  });
});

describe('the end of a harness', () => {
  it('is well with status 0, and with nothing else', () => {
    const fault = (outcome: 'exited' | 'wall_limit', exitCode: number | null, said = '') =>
      faultOfHarness({ outcome, exitCode }, said);
    expect(fault('exited', 0, 'a warning')).toBeNull();
    expect(fault('exited', 1, 'the reason')).toBe('the harness exited with 1: the reason');
    expect(fault('exited', null)).toBe('the harness exited with ?');
    expect(fault('wall_limit', null)).toBe('the harness wall_limit');
  });
});

describe('the lines of a harness', () => {
  const take = async (chunks: readonly string[], bytesMax = 8) => {
    const lines = createHarnessLines(bytesMax);
    for (const chunk of chunks) lines.add(Buffer.from(chunk));
    lines.end();
    const taken: string[] = [];
    for (;;) {
      const line = await lines.next();
      if (typeof line === 'string') return [...taken, `(${line})`];
      taken.push(line.toString());
    }
  };

  it('are cut where they end, however they come', async () => {
    expect(await take(['a\nb', 'c\n', '\n', 'd\n'])).toEqual(['a', 'bc', '', 'd', '(end)']);
    expect(await take([])).toEqual(['(end)']);
    expect(await take(['a\nb'])).toEqual(['a', '(unfinished)']);
  });

  it('end at one that is too long, whole or not', async () => {
    expect(await take(['12345678\n'])).toEqual(['12345678', '(end)']);
    expect(await take(['a\n123456789\nb\n', 'c\n'])).toEqual(['a', '(too long)']);
    expect(await take(['12345', '6789', '\nb\n'])).toEqual(['(too long)']);
  });

  it('are waited for', async () => {
    const lines = createHarnessLines();
    const next = lines.next();
    lines.add(Buffer.from('a'));
    lines.add(Buffer.from('b\n'));
    expect((await next).toString()).toBe('ab');
    const last = lines.next();
    lines.end();
    expect(await last).toBe('end');
  });
});
