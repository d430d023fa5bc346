// A program of the tenant's own grades: it alone sees tests and answers, and has the program run as often as it likes.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Job } from '../../services/contract/job.js';
import { readEvents } from '../helpers/events.js';
import { leftovers, nothingLeft } from '../helpers/leftovers.js';
import { startTestStack, type TestStack } from '../helpers/stack.js';

/** Says "run" and reads the answer. */
const TALK = `
import json, sys, time
def say(**line):
    print(json.dumps(line), flush=True)
def run(**what):
    say(run=what)
    return json.loads(sys.stdin.readline())
def result(name, points, points_max, **more):
    say(result={'name': name, 'points': points, 'pointsMax': points_max, **more})
`;

/** Sums: two points for each, with the outcome where there is no answer. */
const SUMS = `${TALK}
for name, numbers in [('small', '1 2'), ('negative', '-4 1'), ('large', '1000000000000 1')]:
    answer = run(stdin=numbers)
    right = answer['stdout'].strip() == str(sum(map(int, numbers.split())))
    if answer['outcome'] == 'exited' and answer['exitCode'] == 0:
        result(name, 2 if right else 0, 2, message='' if right else 'said ' + answer['stdout'].strip())
    else:
        verdict = {'cpu_limit': 'time_limit', 'memory_limit': 'memory_limit'}.get(answer['outcome'], 'runtime_error')
        result(name, 0, 2, verdict=verdict, message=f"{answer['outcome']} {answer['signal']}")
`;

const python = (source: string) => ({ language: 'python', source });
const cpp = (body: string) => ({
  language: 'cpp',
  source: `#include <cstdio>\n#include <cstdlib>\nint main() { ${body} }`,
});
const limits = { cpuTimeMs: 300, wallTimeMs: 5_000, memoryBytes: 64 * 1024 * 1024 };

const results = (job: Job) =>
  job.tests?.map(({ name, verdict, points }) => [name, verdict, points]);

let before: Set<string>;
let stack: TestStack;
beforeAll(async () => {
  before = leftovers();
  stack = await startTestStack();
});
afterAll(async () => {
  await stack.stop();
  await nothingLeft(before);
});

const graded = (student: object, harness: string, more: object = {}) =>
  stack.submit({ ...student, limits, grade: python(harness), ...more }, 60);

describe('a harness', () => {
  it('grades a program that is right', async () => {
    const job = await graded(
      cpp('long a, b; scanf("%ld %ld", &a, &b); printf("%ld\\n", a + b);'),
      SUMS,
    );
    expect(job).toMatchObject({
      status: 'finished',
      verdict: 'accepted',
      points: 6,
      pointsMax: 6,
      compile: { outcome: 'exited', exitCode: 0 },
      run: null,
      problem: null,
    });
    expect(results(job)).toEqual([
      ['small', 'accepted', 2],
      ['negative', 'accepted', 2],
      ['large', 'accepted', 2],
    ]);
  });

  it.each([
    [
      'partly right',
      cpp('int a, b; scanf("%d %d", &a, &b); printf("%d\\n", a + b);'),
      [
        ['small', 'accepted', 2],
        ['negative', 'accepted', 2],
        ['large', 'wrong_answer', 0],
      ],
      'wrong_answer',
      /^said /,
    ],
    [
      'crashing',
      python('import os\na, b = map(int, input().split())\nif a < 0: os.abort()\nprint(a + b)'),
      [
        ['small', 'accepted', 2],
        ['negative', 'runtime_error', 0],
        ['large', 'accepted', 2],
      ],
      'runtime_error',
      /^signaled SIGABRT$/,
    ],
    [
      'slow',
      cpp(
        'long a, b; scanf("%ld %ld", &a, &b); if (b == 2) for (;;) rand(); printf("%ld\\n", a + b);',
      ),
      [
        ['small', 'time_limit', 0],
        ['negative', 'accepted', 2],
        ['large', 'accepted', 2],
      ],
      'time_limit',
      /^cpu_limit /,
    ],
    [
      'hungry',
      python('a, b = map(int, input().split())\nif a > 9: bytearray(400 << 20)\nprint(a + b)'),
      [
        ['small', 'accepted', 2],
        ['negative', 'accepted', 2],
        ['large', 'memory_limit', 0],
      ],
      'memory_limit',
      /^memory_limit /,
    ],
  ])('grades a program that is %s', async (_what, student, expected, verdict, message) => {
    const job = await graded(student, SUMS);
    expect(results(job)).toEqual(expected);
    const points = expected.reduce((sum, [, , one]) => sum + Number(one), 0);
    expect(job).toMatchObject({ status: 'finished', verdict, points, pointsMax: 6 });
    expect(job.tests?.find((test) => test.verdict === verdict)?.message).toMatch(message);
  });

  it('never meets a program that does not compile', async () => {
    const job = await graded(cpp('nothing;'), `${TALK}\nresult('all', 1, 1)`);
    expect(job).toMatchObject({
      status: 'finished',
      verdict: 'compile_error',
      tests: [],
      points: 0,
      pointsMax: 0,
    });
    expect(job.compile?.stderr).toMatch(/nothing/);
  });

  it('is told what a run came to, and gives it input, arguments, files and less than the job has', async () => {
    const student = python(`
import os, resource, sys
sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])
print(sys.argv[1:], sorted(os.listdir('.')), open('data/a.txt').read(), end='', file=sys.stderr)
if len(sys.argv) > 2: bytearray(64 << 20)
sys.exit(3)`);
    const harness = `${TALK}
files = [{'path': 'data/a.txt', 'content': 'eA==', 'encoding': 'base64'}]
one = run(stdin='AP8=', stdinEncoding='base64', args=['one'], files=files)
usage = one.pop('usage')
assert one == {
    'outcome': 'exited', 'exitCode': 3, 'signal': None,
    'stdout': '/wA=', 'stdoutEncoding': 'base64', 'stdoutTruncated': False,
    'stderr': "['one'] ['data', 'main.py'] x", 'stderrEncoding': 'utf8', 'stderrTruncated': False,
}, one
assert sorted(usage) == ['cpuTimeMs', 'memoryBytesPeak', 'wallTimeMs'] and all(n > 0 for n in usage.values()), usage
less = run(args=['one', 'two'], files=files, limits={'memoryBytes': 32 << 20})
assert less['outcome'] == 'memory_limit', less
assert open('secret').read() == 'mine' and sys.argv[1:] == ['x'], sys.argv
result('all', 0.5, 0.5, message='fine')
`;
    const grade = {
      ...python(harness),
      args: ['x'],
      files: [{ path: 'secret', content: 'mine' }],
    };
    const more = { limits: { ...limits, memoryBytes: 256 << 20 }, grade };
    const job = await stack.submit({ ...student, ...more }, 60);
    expect(job.tests).toEqual([
      {
        index: 0,
        name: 'all',
        group: null,
        verdict: 'accepted',
        points: 0.5,
        message: 'fine',
        run: null,
      },
    ]);
  });

  it('is given large outputs, cut where they are too large', async () => {
    const harness = `${TALK}
for size in (700_000, 3_000_000):
    one = run(args=[str(size)], stdin='y' * 900_000)
    kept = min(size, 1 << 20)
    right = one['stdout'] == '\\x01' * kept and one['stdoutTruncated'] == (kept < size)
    result(str(size), int(right), 1, message=f"{one['outcome']} {len(one['stdout'])}")
`;
    const student = python(
      `import sys\nassert len(sys.stdin.read()) == 900_000\nsys.stdout.write('\\x01' * int(sys.argv[1]))`,
    );
    const job = await graded(student, harness, { limits: { ...limits, outputBytes: 4 << 20 } });
    expect(job.tests?.map(({ message }) => message)).toEqual(['exited 700000', 'exited 1048576']);
    expect(job.verdict).toBe('accepted');
  });
});

describe('a grade that cannot be relied on is a judge_fault, and what was said before it stays:', () => {
  const ONE = `${TALK}\nresult('first', 1, 1)\n`;
  it.each([
    [
      'a crash',
      `${ONE}raise Exception('the reason')`,
      /^the harness exited with 1: .*the reason$/s,
    ],
    ['a limit', `${ONE}bytearray(900 << 20)`, /^the harness memory_limit/],
    [
      'another word',
      `${ONE}print('hello', flush=True)\ntime.sleep(60)`,
      /^line 2 of the harness: it is not JSON$/,
    ],
    [
      'an unknown field',
      `${ONE}say(run={}, more=1)`,
      /^line 2 of the harness: more is not a known field$/,
    ],
    [
      'too many points',
      `${ONE}result('a', 2, 1)`,
      /^line 2 of the harness: result.points must be at most pointsMax$/,
    ],
    [
      'infinite points',
      `${ONE}print('{"result":{"name":"a","points":0,"pointsMax":1e999}}')`,
      /^line 2 .*result.pointsMax must be/,
    ],
    [
      'a path outside',
      `${ONE}run(files=[{'path': '../a', 'content': ''}])`,
      /^line 2 .*run.files\[0\].path must not/,
    ],
    [
      'more than the job has',
      `${ONE}run(limits={'cpuTimeMs': 301})`,
      /^line 2 .*run.limits.cpuTimeMs must be from 1 to 300 ms/,
    ],
    [
      'a file that has no place',
      `${ONE}run(files=[{'path': 'main.py/a', 'content': ''}])`,
      /^line 2 .*main.py\/a cannot be written: /,
    ],
    [
      'a line without end',
      `${ONE}sys.stdout.write('x' * 2_000_000)\nsys.stdout.flush()\ntime.sleep(60)`,
      /^the harness wrote a line of more than 1048576 bytes$/,
    ],
    ['half a line', `${ONE}sys.stdout.write('{')`, /^the harness ended in the middle of a line$/],
    [
      'an answer nobody waits for',
      `${ONE}say(run={'args': ['sleep']})`,
      /^line 2 .*it ended before the run was answered$/,
    ],
    [
      'too many results',
      `${ONE}for _ in range(1_001): result('first', 1, 1)`,
      /^line 1001 .*more than 1000 results$/,
    ],
  ])('%s', async (_what, harness, message) => {
    const student = python("import sys, time\nif sys.argv[1:] == ['sleep']: time.sleep(60)");
    const startedMs = Date.now();
    const job = await graded(student, harness, { limits: { ...limits, wallTimeMs: 60_000 } });
    expect(Date.now() - startedMs).toBeLessThan(30_000);
    expect(job).toMatchObject({ status: 'finished', verdict: 'judge_fault' });
    const [first, ...others] = job.tests ?? [];
    expect(first).toMatchObject({ name: 'first', verdict: 'accepted', points: 1 });
    expect(others.at(-1)).toMatchObject({
      name: 'harness',
      verdict: 'judge_fault',
      points: 0,
      run: null,
    });
    expect(others.at(-1)?.message).toMatch(message);
    expect(job.points).toBe(others.length);
    expect(job.pointsMax).toBe(others.length);
  });

  it('no result at all, or one that does not compile', async () => {
    const nothing = await graded(python(''), 'pass');
    expect(nothing).toMatchObject({ verdict: 'judge_fault', points: 0 });
    expect(nothing.tests?.[0]?.message).toBe('the harness gave no result');
    const broken = await graded(python(''), '', { grade: cpp('nothing;') });
    expect(broken.verdict).toBe('judge_fault');
    expect(broken.tests?.[0]?.message).toMatch(/^the harness does not compile: .*nothing/s);
  });
});

describe('a grade job', () => {
  it('is billed for the CPU time of the program and of the harness', async () => {
    const billed = async () => {
      const { body } = await stack.call('GET', '/v1/usage');
      const { days } = body as { days: readonly { cpuSeconds: number }[] };
      return days.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0);
    };
    const burn = 'import time\nwhile time.process_time() < 0.2: pass\n';
    const each = [
      [python(burn), `${TALK}\nrun()\nrun()\nresult('all', 1, 1)`, 0.4],
      [python(''), `${burn}${TALK}\nresult('all', 1, 1)`, 0.2],
    ] as const;
    for (const [student, harness, least] of each) {
      const earlier = await billed();
      expect((await graded(student, harness)).verdict).toBe('accepted');
      const more = (await billed()) - earlier;
      expect(more).toBeGreaterThan(least - 0.02);
      expect(more).toBeLessThan(least + 0.3);
    }
  });

  it('ends by the limits of either side', async () => {
    const waits = python('import time\ntime.sleep(60)');
    const wall = { ...limits, wallTimeMs: 300 };
    const told = `${TALK}\nresult('all', 0, 1, verdict='wall_limit', message=run()['outcome'])`;
    const job = await graded(waits, told, { limits: wall });
    expect(job.tests?.[0]).toMatchObject({ verdict: 'wall_limit', message: 'wall_limit' });
    const grade = { ...python(`${TALK}\nrun()`), limits: { wallTimeMs: 500 } };
    const startedMs = Date.now();
    const late = await graded(waits, '', { grade, limits: { ...limits, wallTimeMs: 60_000 } });
    expect(Date.now() - startedMs).toBeLessThan(30_000);
    expect(late.tests?.[0]?.message).toBe('the harness wall_limit');
    // It asks and asks, and reads no answer.
    const deaf = `${TALK}\nfor _ in range(100): say(run={'args': ['big']})\ntime.sleep(60)`;
    const big = python('print("x" * 400_000)');
    const ended = await graded(big, '', { grade: { ...grade, source: deaf } });
    expect(ended.tests?.[0]?.message).toBe('the harness wall_limit');
  });

  it('tells of each result as it comes, cannot be frozen, and keeps what it has when it is cancelled', async () => {
    const harness = `${TALK}\nresult('first', 1, 2)\nrun()\nresult('second', 1, 1)`;
    const waits = python('import time\ntime.sleep(60)');
    const { id } = await stack.submit({
      ...waits,
      limits: { ...limits, wallTimeMs: 60_000 },
      grade: python(harness),
    });
    const events = await readEvents(stack.stack, id);
    const { data } = await events.until(({ event }) => event === 'test');
    expect(data).toEqual({ index: 0, verdict: 'wrong_answer', points: 1, usage: null });
    expect((await stack.get(id)).status).toBe('running');
    expect((await stack.call('POST', `/v1/jobs/${id}/freeze`)).status).toBe(409);
    const { status, body } = await stack.call('DELETE', `/v1/jobs/${id}`);
    expect(status).toBe(200);
    expect(body).toMatchObject({ status: 'cancelled', points: 1, pointsMax: 2, verdict: null });
    expect(results(body as Job)).toEqual([['first', 'wrong_answer', 1]]);
    await events.ended;
    expect(events.events.filter(({ event }) => event === 'test')).toHaveLength(1);
  });
});
