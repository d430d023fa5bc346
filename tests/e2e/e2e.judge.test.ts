import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Job } from '../../services/contract/job.js';
import { readEvents } from '../helpers/events.js';
import { leftovers, nothingLeft } from '../helpers/leftovers.js';
import { startTestStack, type TestStack } from '../helpers/stack.js';

/** Of this test's own stack. */
const ADMIN_KEY = 'operator-of-judge-tests-0123456789';

const SUM = `#include <cstdio>
int main() { long a, b; while (scanf("%ld %ld", &a, &b) == 2) printf("%ld\\n", a + b); }`;

const sums = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ stdin: `${i} 1\n`, expectedStdout: `${i + 1}\n` }));

const verdicts = (job: Job) => job.tests?.map(({ verdict }) => verdict);

describe('judge jobs', () => {
  let before: Set<string>;
  let stack: TestStack;
  beforeAll(async () => {
    before = leftovers();
    stack = await startTestStack({}, { key: ADMIN_KEY, port: 0 });
  });
  afterAll(async () => {
    await stack.stop();
    await nothingLeft(before);
  });

  it('compile once, run every test, and count points', async () => {
    const tests = sums(40);
    tests[17] = { stdin: '1 1\n', expectedStdout: '3\n' };
    const job = await stack.submit({ language: 'cpp', source: SUM, tests }, 60);
    expect(job).toMatchObject({
      status: 'finished',
      verdict: 'wrong_answer',
      points: 39,
      pointsMax: 40,
      compile: { outcome: 'exited', exitCode: 0, cached: false },
      run: null,
    });
    expect(job.tests?.map(({ index, name }) => [index, name])).toEqual(
      tests.map((_, index) => [index, String(index + 1)]),
    );
    expect(job.tests?.[17]).toMatchObject({
      verdict: 'wrong_answer',
      points: 0,
      message: 'line 1 is "2", not "3"',
      run: { outcome: 'exited', stdout: '2\n' },
    });
    expect(job.tests?.[16]?.run?.stdout).toBe(''); // reported are those that failed
    const again = await stack.submit({ language: 'cpp', source: SUM, tests: sums(3) }, 60);
    expect(again).toMatchObject({ verdict: 'accepted', points: 3, compile: { cached: true } });
    const other = await stack.submit(
      { language: 'cpp', source: SUM, tests: sums(1), compile: { args: ['-O1'] } },
      60,
    );
    expect(other.compile).toMatchObject({ cached: false });
  });

  it('compile the same source anew for another tenant: nobody learns from a cache what others have', async () => {
    const request = { language: 'cpp', source: `// shared\n${SUM}`, tests: sums(2) };
    const json = { 'content-type': 'application/json' };
    const created = await fetch(`${stack.stack.admin?.url ?? ''}/v1/admin/tenants`, {
      method: 'POST',
      headers: { ...json, authorization: `Bearer ${ADMIN_KEY}` },
      body: JSON.stringify({ name: 'another' }),
    });
    const { apiKey } = (await created.json()) as { apiKey: string };
    const asAnother = async (): Promise<Job> => {
      const answer = await fetch(`${stack.stack.url}/v1/jobs?wait=60`, {
        method: 'POST',
        headers: { ...json, authorization: `Bearer ${apiKey}` },
        body: JSON.stringify(request),
      });
      return (await answer.json()) as Job;
    };
    const cached = (job: Job) => [job.verdict, job.compile?.cached];
    expect(cached(await stack.submit(request, 60))).toEqual(['accepted', false]);
    expect(cached(await stack.submit(request, 60))).toEqual(['accepted', true]);
    expect(cached(await asAnother())).toEqual(['accepted', false]);
    expect(cached(await asAnother())).toEqual(['accepted', true]);
  });

  it('tell every way in which a test can fail', async () => {
    const source = `
import sys, time, os
what = sys.stdin.read().strip()
if what == 'loop':
    while True: pass
if what == 'sleep': time.sleep(30)
if what == 'eat': x = bytearray(400 * 1024 * 1024)
if what == 'flood':
    while True: print('x' * 1000)
if what == 'crash': os.abort()
if what == 'exit': sys.exit(3)
print(what)
`;
    const names = ['fine', 'loop', 'sleep', 'eat', 'flood', 'crash', 'exit', 'wrong'];
    const tests = names.map((stdin) => ({
      name: stdin,
      stdin,
      expectedStdout: stdin === 'wrong' ? 'right' : stdin,
      limits: { cpuTimeMs: 400, wallTimeMs: 1_500, memoryBytes: 128 * 1024 * 1024 },
    }));
    const job = await stack.submit({ language: 'python', source, tests }, 60);
    expect(
      Object.fromEntries(job.tests?.map(({ name, verdict }) => [name, verdict]) ?? []),
    ).toEqual({
      fine: 'accepted',
      loop: 'time_limit',
      sleep: 'wall_limit',
      eat: 'memory_limit',
      flood: 'output_limit',
      crash: 'runtime_error',
      exit: 'runtime_error',
      wrong: 'wrong_answer',
    });
    expect(job.verdict).toBe('time_limit');
    expect(job.compile).toBeNull();
  });

  it('say that nothing was compiled', async () => {
    const job = await stack.submit({ language: 'cpp', source: 'nonsense', tests: sums(2) }, 60);
    expect(job).toMatchObject({
      status: 'finished',
      verdict: 'compile_error',
      points: 0,
      tests: [],
    });
    expect(job.compile?.stderr).toContain('main.cpp');
  });

  it('stop at the first failure when told to', async () => {
    const tests = sums(200).map((test) => ({ ...test, expectedStdout: 'no' }));
    const judge = { stopOn: 'first_failure', parallel: 1 };
    const job = await stack.submit({ language: 'cpp', source: SUM, tests, judge }, 60);
    expect(verdicts(job)).toEqual(['wrong_answer']);
    expect(job.verdict).toBe('wrong_answer');
  });

  it('give points for whole groups only', async () => {
    const tests = [
      { stdin: '1 1', expectedStdout: '2', points: 10, group: 'a' },
      { stdin: '1 1', expectedStdout: '3', points: 10, group: 'a' },
      { stdin: '1 1', expectedStdout: '2', points: 25, group: 'b' },
    ];
    const job = await stack.submit({ language: 'cpp', source: SUM, tests }, 60);
    expect(job).toMatchObject({ points: 25, pointsMax: 45, verdict: 'wrong_answer' });
  });

  it('can be read while they run, and keep what is done when they are cancelled', async () => {
    const source = 'import time\nn = int(input())\ntime.sleep(0.3 if n < 3 else 20)\nprint(n)';
    const tests = [0, 1, 2, 3].map((n) => ({
      stdin: `${n}`,
      expectedStdout: `${n}`,
      limits: { wallTimeMs: 30_000 },
    }));
    const judge = { parallel: 1 };
    const { id } = await stack.submit({ language: 'python', source, tests, judge });
    const deadline = Date.now() + 20_000;
    let job = await stack.get(id);
    while ((job.tests?.length ?? 0) < 2 && Date.now() < deadline) job = await stack.get(id);
    expect(job).toMatchObject({ status: 'running', verdict: null, pointsMax: 4 });
    expect(job.points).toBeGreaterThanOrEqual(2);
    const cancelled = await stack.call('DELETE', `/v1/jobs/${id}`);
    expect(cancelled.body).toMatchObject({ status: 'cancelled', verdict: null });
    const { tests: done } = await stack.get(id);
    expect(done?.length).toBeGreaterThanOrEqual(2);
  });

  it('tell of each test as soon as it has a result, to who was there and who came late', async () => {
    const source = 'import time\nn = int(input())\ntime.sleep(0.2)\nprint(n)';
    const tests = Array.from({ length: 8 }, (_, n) => ({ stdin: `${n}`, expectedStdout: `${n}` }));
    const judge = { parallel: 2, stopOn: 'never' };
    const { id } = await stack.submit({ language: 'python', source, tests, judge });
    const target = { url: stack.stack.url, apiKey: stack.stack.apiKey };
    const first = await readEvents(target, id);
    await first.until(({ event, data }) => event === 'test' && data['index'] === 1);
    const late = await readEvents(target, id);
    await Promise.all([first.ended, late.ended]);
    const job = await stack.get(id);
    expect(job).toMatchObject({ verdict: 'accepted', points: 8 });
    for (const { events } of [first, late]) {
      const told = events.filter(({ event }) => event === 'test').map(({ data }) => data);
      told.sort((a, b) => Number(a['index']) - Number(b['index']));
      expect(told).toEqual(
        job.tests?.map(({ index, verdict, points, run }) => ({
          ...{ index, verdict, points },
          usage: run?.usage,
        })),
      );
    }
  });

  it('give each test a core alone when timing is exclusive', async () => {
    const source =
      'import os\nos.sched_setaffinity(0, range(1024))\nprint(len(os.sched_getaffinity(0)))';
    const tests = Array.from({ length: 6 }, () => ({ expectedStdout: '1' }));
    const timed = (timing: string) =>
      stack.submit({ language: 'python', source, tests, judge: { timing, parallel: 3 } }, 60);
    expect(await timed('exclusive')).toMatchObject({ verdict: 'accepted', points: 6 });
    // The control run: else a program may run wherever it likes.
    expect(await timed('shared')).toMatchObject({ verdict: 'wrong_answer', points: 0 });
  });

  it('let a follower hear the compiler before the tests', async () => {
    const source = `#warning from the compiler\n${SUM}`;
    for (const cached of [false, true]) {
      const { id } = await stack.submit({ language: 'cpp', source, tests: sums(2) });
      const reader = await readEvents({ url: stack.stack.url, apiKey: stack.stack.apiKey }, id);
      await reader.ended;
      expect(reader.text('stderr')).toContain('from the compiler');
      const order = reader.events.map(({ event }) => event);
      expect(order.indexOf('stderr')).toBeLessThan(order.indexOf('test'));
      expect((await stack.get(id)).compile).toMatchObject({ cached });
    }
  });

  describe('with a checker of their own', () => {
    const checked = (checker: object, expectedStdout = '42') => ({
      language: 'python',
      source: 'print(6 * 7)',
      tests: [{ stdin: 'in', expectedStdout }],
      judge: { checker: { kind: 'program', language: 'python', ...checker } },
    });
    it.each([
      [
        'testlib',
        'import sys; i, o, a = map(open, sys.argv[1:4]); sys.stderr.write(i.read()); sys.exit(int(o.read()) != int(a.read()))',
        'accepted',
        'in',
      ],
      ['testlib', 'import sys; sys.stderr.write("no"); sys.exit(1)', 'wrong_answer', 'no'],
      ['testlib', 'import sys; sys.exit(2)', 'presentation_error', ''],
      ['testlib', 'import os; os.abort()', 'judge_fault', 'the checker signaled'],
      ['testlib', 'while True: pass', 'judge_fault', 'the checker cpu_limit'],
      [
        'domjudge',
        'import sys; open(sys.argv[3] + "judgemessage.txt", "w").write(sys.stdin.read()); sys.exit(42)',
        'accepted',
        '42',
      ],
      ['domjudge', 'import sys; sys.exit(43)', 'wrong_answer', ''],
      ['domjudge', 'import sys; sys.exit(0)', 'judge_fault', 'the checker exited with 0'],
    ])('of %s: %j is %s', async (protocol, source, verdict, message) => {
      const limits = { cpuTimeMs: 500 };
      const job = await stack.submit(checked({ protocol, source, limits }), 60);
      expect(job.tests?.[0]).toMatchObject({ verdict, message });
    });

    it('compiled once, and a fault of the judge when it does not compile', async () => {
      const cpp =
        '#include <cstdio>\nint main(int, char** v) { return fopen(v[2], "r") == nullptr; }';
      const request = (source: string) => checked({ language: 'cpp', source });
      expect(await stack.submit(request(cpp), 60)).toMatchObject({ verdict: 'accepted' });
      const broken = await stack.submit(request('int main( {'), 60);
      expect(broken).toMatchObject({ verdict: 'judge_fault', points: 0 });
      expect(broken.tests?.[0]?.message).toContain('the checker does not compile');
    });
  });

  describe('cannot be cheated by a program that', () => {
    const cheat = (source: string, tests: object[], language = 'python') =>
      stack.submit({ language, source, tests, judge: { parallel: 1, report: { on: 'all' } } }, 60);

    it('leaves something for the next test', async () => {
      const source = `#include <cstdio>
#include <cstdlib>
#include <unistd.h>
int main() {
  const char* places[] = {"/box/left", "/tmp/left", "/dev/shm/left"};
  int found = 0;
  for (const char* place : places) { if (access(place, F_OK) == 0) found++; }
  for (const char* place : places) { FILE* f = fopen(place, "w"); if (f) { fputs("x", f); fclose(f); } else return 9; }
  unlink("/box/main");
  FILE* own = fopen("/box/main", "w"); if (!own) return 8;
  fputs("#!/bin/sh\\necho forged\\n", own); fclose(own);
  printf("%d\\n", found);
}`;
      const tests = Array.from({ length: 4 }, () => ({ expectedStdout: '0' }));
      const job = await cheat(source, tests, 'cpp');
      expect(verdicts(job)).toEqual(['accepted', 'accepted', 'accepted', 'accepted']);
    });

    it('looks for the expected output', async () => {
      const source = `
import os
hits = []
for top in ('/box', '/tmp', '/dev/shm', '/var', '/run'):
    for where, _, names in os.walk(top):
        for name in names:
            path = os.path.join(where, name)
            if not os.path.isfile(path): continue
            try:
                with open(path, 'rb') as f: text = f.read(1_000_000)
            except OSError: continue
            if b'SECRET' + b'-ANSWER' in text: hits.append(path)
print(len(hits), os.environ.get('ANSWER'))
`;
      const job = await cheat(source, [{ stdin: 'x', expectedStdout: 'SECRET-ANSWER' }]);
      expect(job.tests?.[0]).toMatchObject({
        verdict: 'wrong_answer',
        run: { stdout: '0 None\n' },
      });
    });

    it('writes what a checker would say', async () => {
      const source =
        'import sys\nprint("accepted 42 0")\nsys.stderr.write("ok points 1")\nsys.exit(42)';
      const job = await cheat(source, [{ expectedStdout: 'something else' }]);
      expect(verdicts(job)).toEqual(['runtime_error']);
    });
  });
});
