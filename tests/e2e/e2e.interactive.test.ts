import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Job } from '../../services/contract/job.js';
import { eventually } from '../helpers/eventually.js';
import { leftovers, nothingLeft } from '../helpers/leftovers.js';
import { startTestStack, type TestStack } from '../helpers/stack.js';

/** Asks the program to double numbers: as many as the input says. */
const INTERACTOR = `
import sys
for number in range(int(open(sys.argv[1]).read())):
    print(number, flush=True)
    line = sys.stdin.readline()
    if line.strip() != str(2 * number):
        print(f'{number} twice is not {line.strip() or "nothing"}', file=sys.stderr)
        sys.exit(1)
print('end', flush=True)
assert sys.stdin.read() == ''
print('all well', file=sys.stderr)
`;

/** What a test makes the program do when it is asked for its number 3. */
const PROGRAM = `
import os, sys, time
def misbehave():
    what = sys.argv[1]
    if what == 'crash': os.abort()
    if what == 'exit': sys.exit(5)
    if what == 'leave': sys.exit(0)
    if what == 'loop':
        while True: pass
    if what == 'wait': sys.stdin.read()
    if what == 'eat': bytearray(400 << 20)
    if what == 'close':
        os.close(1)
        os.close(0)
        time.sleep(60)
    if what == 'fill':
        while True: os.write(1, b'6\\n' * 9999)
    if what == 'wrong':
        print(7, flush=True)
        time.sleep(60)
    if what == 'stubborn':
        print(8, flush=True)
        sys.stdin.read()
        sys.exit(9)
for line in sys.stdin:
    if line == 'end\\n': break
    if line == '3\\n': misbehave()
    print(2 * int(line), flush=True)
`;

const limits = { cpuTimeMs: 300, wallTimeMs: 5_000, memoryBytes: 128 * 1024 * 1024 };

const request = (names: readonly string[], judge: object = {}) => ({
  language: 'python',
  source: PROGRAM,
  limits,
  tests: names.map((name) => ({ name, stdin: '5', args: [name] })),
  judge: { interactor: { language: 'python', source: INTERACTOR }, ...judge },
});

const byName = (job: Job) =>
  Object.fromEntries(job.tests?.map(({ name, verdict }) => [name, verdict]) ?? []);

describe('interactive problems', () => {
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

  it('put the blame on the side that went wrong first', async () => {
    const expected = {
      fine: 'accepted',
      crash: 'runtime_error',
      exit: 'runtime_error',
      leave: 'wrong_answer',
      loop: 'time_limit',
      wait: 'wall_limit',
      eat: 'memory_limit',
      close: 'wall_limit',
      fill: 'wrong_answer',
      wrong: 'wrong_answer',
      stubborn: 'wrong_answer',
    };
    const job = await stack.submit(request(Object.keys(expected)), 60);
    expect(byName(job)).toEqual(expected);
    expect(job).toMatchObject({ status: 'finished', verdict: 'runtime_error', pointsMax: 11 });
    expect(job.tests?.[0]).toMatchObject({ message: 'all well', run: { exitCode: 0, stdout: '' } });
    expect(job.tests?.[9]).toMatchObject({
      message: '3 twice is not 7',
      run: { outcome: 'cancelled' },
    });
  });

  it('give the interactor alone input and answer, and stop when they are told to', async () => {
    const source = `
import os
found = []
for root in ('/box', '/tmp', '/dev/shm', '/proc/self/fd'):
    for folder, _, files in os.walk(root):
        found += [os.path.join(folder, name) for name in files]
print(any('judge' in path or 'answer' in path for path in found), flush=True)
try: print(len(input()), flush=True)
except EOFError: print('nothing', flush=True)
`;
    const interactor = `
import sys
assert open(sys.argv[1]).read() == 'the input' and open(sys.argv[3]).read() == 'the answer'
open(sys.argv[2], 'w').write('a log')
assert sys.argv[4:] == ['more'], sys.argv
sees = input()
print('x' * 100, flush=True)
sys.exit(0 if sees == 'False' and input() == '100' else 1)
`;
    const job = await stack.submit(
      {
        language: 'python',
        source,
        limits,
        tests: [{ stdin: 'the input', expectedStdout: 'the answer' }],
        judge: { interactor: { language: 'python', source: interactor, args: ['more'] } },
      },
      60,
    );
    expect(job.tests?.[0]).toMatchObject({ verdict: 'accepted' });
    expect(job.tests?.[0]).not.toHaveProperty('transcript');
  });

  it('return what was said, and by whom, where that is asked for', async () => {
    const report = { on: 'all', transcript: true, stdoutBytes: 30 };
    const job = await stack.submit(request(['fine', 'wrong'], { report }), 60);
    const said = (test: number) => {
      const { transcript } = job.tests?.[test] ?? {};
      const turns = transcript?.said.map(({ by, content }) => `${by[0] ?? ''}:${content.trim()}`);
      return [turns?.join(' '), transcript?.truncated];
    };
    expect(said(0)).toEqual(['i:0 p:0 i:1 p:2 i:2 p:4 i:3 p:6 i:4 p:8 i:end', false]);
    expect(said(1)).toEqual(['i:0 p:0 i:1 p:2 i:2 p:4 i:3 p:7', false]);
    const cut = { on: 'failed', transcript: true, stdoutBytes: 7 };
    const failed = await stack.submit(request(['fine', 'wrong'], { report: cut }), 60);
    expect(failed.tests?.[0]?.transcript).toBeNull();
    expect(failed.tests?.[1]?.transcript).toMatchObject({ truncated: true });
    expect(failed.tests?.[1]?.transcript?.said.map(({ content }) => content).join('')).toHaveLength(
      7,
    );
  });

  it('are compiled once each, in any language, by either protocol', async () => {
    const interactor = `#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
int main(int argc, char **argv) {
  int secret, guess, tries = 0;
  std::ifstream(argv[1]) >> secret;
  std::ofstream feedback(std::string(argv[3]) + "judgemessage.txt");
  while (scanf("%d", &guess) == 1 && ++tries <= 10) {
    if (guess == secret) { feedback << tries << " tries"; return 42; }
    puts(guess < secret ? "more" : "less");
    fflush(stdout);
  }
  feedback << "not found";
  return 43;
}`;
    const source = `#include <iostream>
#include <string>
int main() {
  int low = 1, high = 1000;
  std::string answer;
  do {
    int middle = (low + high) / 2;
    std::cout << middle << std::endl;
    if (!(std::cin >> answer)) break;
    (answer == "more" ? low : high) = answer == "more" ? middle + 1 : middle - 1;
  } while (true);
}`;
    const job = await stack.submit(
      {
        language: 'cpp',
        source,
        tests: [1, 500, 777, 1_000, 1_001].map((secret) => ({ stdin: String(secret) })),
        judge: { interactor: { language: 'cpp', source: interactor, protocol: 'domjudge' } },
      },
      60,
    );
    expect(job.tests?.map(({ verdict }) => verdict)).toEqual([
      ...Array<string>(4).fill('accepted'),
      'wrong_answer',
    ]);
    expect(job.tests?.map(({ message }) => message)).toEqual([
      '9 tries',
      '1 tries',
      expect.stringMatching(/^[0-9]+ tries$/),
      '10 tries',
      'not found',
    ]);
    const broken = { language: 'cpp', source: 'int main() { return nothing; }' };
    const fault = await stack.submit(request(['fine'], { interactor: broken }), 60);
    expect(fault).toMatchObject({ verdict: 'judge_fault', points: 0 });
    expect(fault.tests?.[0]?.message).toMatch(/^the interactor does not compile: /);
  });

  it.each([
    ['kill it', 'judge_fault', /^the interactor signaled/],
    ['speak for it', 'wrong_answer', /^forged$/],
  ])('cannot do the interactor harm: %s', async (attack, verdict, message) => {
    const forger = `
import os, signal, sys
what = sys.argv[1] if len(sys.argv) > 1 else ''
if what == 'kill it':
    for pid in range(2, 300):
        if pid != os.getpid():
            try: os.kill(pid, signal.SIGKILL)
            except OSError: pass
path = '/tmp/judge/feedback/judgemessage.txt'
if what == 'speak for it':
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, 'w').write('forged')
    os.write(os.open('/proc/self/fd/0', os.O_WRONLY), b'well done\\n')
print('42', flush=True)
print(input(), flush=True)
sys.exit(42 if what == '' else 0)
`;
    // In the control run the interactor has the forger as a child, in its own box.
    const interactor = `
import subprocess, sys
open(sys.argv[3] + 'judgemessage.txt', 'w').write('my own')
talk = (sys.stdin, sys.stdout)
if sys.argv[4] == 'together':
    child = subprocess.Popen([sys.executable, '/box/forger.py', sys.argv[5]], stdin=-1, stdout=-1, text=True)
    talk = (child.stdout, child.stdin)
guess = talk[0].readline()
sys.exit(42 if guess == '43\\n' else 43)
`;
    const judged = async (how: 'together' | 'apart') => {
      const job = await stack.submit(
        {
          language: 'python',
          source: how === 'apart' ? forger : 'input()',
          limits,
          tests: [{ stdin: '', args: [attack] }],
          judge: {
            interactor: {
              language: 'python',
              source: interactor,
              protocol: 'domjudge',
              args: [how, attack],
              files: [{ path: 'forger.py', content: forger }],
            },
          },
        },
        60,
      );
      return job.tests?.[0];
    };
    const control = await judged('together');
    expect(control?.verdict, 'the control run').toBe(verdict);
    expect(control?.message).toMatch(message);
    expect(await judged('apart')).toMatchObject({ verdict: 'wrong_answer', message: 'my own' });
  });

  it('can be cancelled while both sides wait', async () => {
    const waits = { ...request(['fine', 'wait']), limits: { ...limits, wallTimeMs: 60_000 } };
    const { id } = await stack.submit(waits);
    await eventually(async () => (await stack.get(id)).tests?.length === 1);
    const { status, body } = await stack.call('DELETE', `/v1/jobs/${id}`);
    expect(status).toBe(200);
    expect(body).toMatchObject({ status: 'cancelled' });
  });
});
