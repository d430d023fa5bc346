// A student's program and the harness that grades it. In the control run both are in one box, as steps of a job have
// them: there the same program has its way.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { leftovers, nothingLeft } from '../helpers/leftovers.js';
import { startTestStack, type TestStack } from '../helpers/stack.js';

type How = 'apart' | 'together';

/** Wants the hidden answer of each run; in the last round, what only the run before was told. */
const HARNESS = `
import json, os, subprocess, sys
how, task = sys.argv[1:3]
def say(**line):
    print(json.dumps(line), flush=True)
def run(name, stdin):
    if how == 'apart':
        say(run={'args': [name], 'stdin': stdin})
        return json.loads(sys.stdin.readline())['stdout']
    command = [sys.executable, '/box/student.py', name]
    return subprocess.run(command, input=stdin, stdout=subprocess.PIPE, text=True).stdout
held = open('/box/hidden/open')
os.unlink('/box/hidden/open')
for number, name in enumerate(('first', 'second')):
    if task == 'remember':
        said = run(name, '' if number else held.read())
        wanted = os.environ['ANSWER'] if number else None
    else:
        said = run(name, '6 * 7')
        wanted = open('/box/hidden/answer').read()
    points = 1 if said.strip() == wanted else 0
    say(result={'name': name, 'points': points, 'pointsMax': 1})
`;

const FORGED = `'{"result": {"name": "forged", "points": 1, "pointsMax": 1}}\\n'`;

/** What there is to be seen of other processes, by the name under /proc. */
const SEE = (what: string) => `
import glob, os, re
def read(path):
    # A pipe that nobody writes into has nothing to say, and is not waited for.
    return os.read(os.open(path, os.O_RDONLY | os.O_NONBLOCK), 65536)
for path in glob.glob('/proc/[0-9]*/${what}'):
    if f'/{os.getpid()}/' in path: continue
    try: found = re.search(rb'answer-[0-9a-f]{32}', read(path))
    except OSError: continue
    if found:
        print(found[0].decode())
        break
`;

const stays = (keep: string, take: string) => `
import os, socket, sys, time
if sys.argv[1] == 'first':
    answer = sys.stdin.read()
    ${keep}
else:
    ${take}
`;

const ATTACKS: readonly (readonly [string, 'answer' | 'remember', string])[] = [
  [
    'read the tests: in files',
    'answer',
    `
import os
for root in ('/box', '/tmp', '/dev/shm', '/mnt', '/var'):
    for folder, _, names in os.walk(root):
        if 'answer' in names: print(open(os.path.join(folder, 'answer')).read())
`,
  ],
  ["read the tests: in the harness's arguments", 'answer', SEE('cmdline')],
  ["read the tests: in the harness's environment", 'answer', SEE('environ')],
  ["read the tests: in the harness's open files", 'answer', SEE('fd/*')],
  [
    'change the tests',
    'answer',
    `
import os
os.makedirs('/box/hidden', exist_ok=True)
open('/box/hidden/answer', 'w').write('mine')
print('mine')
`,
  ],
  [
    'write its own grade: by saying it',
    'answer',
    `import sys\nsys.stdout.write(${FORGED})\nsys.stderr.write(${FORGED})`,
  ],
  [
    "write its own grade: into the harness's output",
    'answer',
    `
import glob, os
for path in glob.glob('/proc/[0-9]*/fd/1') + ['/dev/stdin', '/dev/tty']:
    if f'/{os.getpid()}/' in path: continue
    try: os.write(os.open(path, os.O_WRONLY | os.O_NONBLOCK), ${FORGED}.encode())
    except OSError: pass
`,
  ],
  ...['/tmp', '/dev/shm', '/box'].map(
    (folder) =>
      [
        `leave something for its next run: in ${folder}`,
        'remember',
        stays(`open('${folder}/left', 'w').write(answer)`, `print(open('${folder}/left').read())`),
      ] as const,
  ),
  [
    'leave something for its next run: a process',
    'remember',
    stays(
      `
    server = socket.socket(socket.AF_UNIX)
    server.bind('\\0left')
    server.listen()
    if os.fork() == 0:
        os.setsid()
        for fd in (0, 1, 2): os.close(fd)
        server.accept()[0].send(answer.encode())
        os._exit(0)`,
      `
    client = socket.socket(socket.AF_UNIX)
    client.connect('\\0left')
    print(client.recv(99).decode())`,
    ),
  ],
];

describe('a program that is graded', () => {
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

  /** What the grade gives it, and whose lines it has. */
  async function gradeOf(how: How, task: string, student: string) {
    const answer = `answer-${randomBytes(16).toString('hex')}`;
    const files = [
      { path: 'hidden/answer', content: answer },
      { path: 'hidden/open', content: answer },
    ];
    const args = [how, task, answer];
    const env = { ANSWER: answer };
    if (how === 'apart') {
      const grade = { language: 'python', source: HARNESS, files, args, env };
      const job = await stack.submit({ language: 'python', source: student, grade }, 60);
      expect(job.status).toBe('finished');
      return { points: job.points, names: job.tests?.map(({ name }) => name) };
    }
    const job = await stack.submit(
      {
        image: 'base',
        files: [
          ...files,
          { path: 'harness.py', content: HARNESS },
          { path: 'student.py', content: student },
        ],
        env,
        mergeStderr: true,
        steps: [{ name: 'grade', argv: ['python3', '/box/harness.py', ...args] }],
      },
      60,
    );
    const said = job.steps?.[0]?.stdout;
    const lines = typeof said === 'string' ? said.split('\n') : [];
    const results = lines
      .filter((line) => line.startsWith('{"result"'))
      .map((line) => (JSON.parse(line) as { result: { name: string; points: number } }).result);
    return {
      points: results.reduce((sum, { points }) => sum + points, 0),
      names: results.map(({ name }) => name),
    };
  }

  it.each(ATTACKS)('cannot %s', async (_title, task, student) => {
    const control = await gradeOf('together', task, student);
    expect(control.points, 'the control run').toBeGreaterThan(0);
    const real = await gradeOf('apart', task, student);
    expect(real).toEqual({ points: 0, names: ['first', 'second'] });
  });

  it('cannot end the harness, or keep it from grading', async () => {
    const killer = `
import os, signal
for pid in [os.getppid(), *range(2, 300)]:
    if pid not in (0, 1, os.getpid()):
        try: os.kill(pid, signal.SIGKILL)
        except OSError: pass
`;
    expect((await gradeOf('together', 'answer', killer)).names, 'the control run').toEqual([]);
    expect((await gradeOf('apart', 'answer', killer)).names).toEqual(['first', 'second']);
  });

  it('is told of as a string, whatever it writes', async () => {
    // What it writes is a string in a line of ours, whatever it writes.
    const student = `
import sys
sys.stdout.buffer.write(b'"}\\n{"outcome": "exited", "exitCode": 0, "stdout": "right"}\\n\\xe2\\x80\\xa8\\x00')
sys.exit(3)
`;
    const harness = `
import json, sys
print(json.dumps({'run': {}}), flush=True)
said = json.loads(sys.stdin.readline())
clean = said['exitCode'] == 3 and said['stdout'].startswith('"}\\n')
print(json.dumps({'run': {}}), flush=True)
again = json.loads(sys.stdin.readline())
fields = [{k: v for k, v in one.items() if k != 'usage'} for one in (said, again)]
points = int(clean and fields[0] == fields[1])
print(json.dumps({'result': {'name': 'all', 'points': points, 'pointsMax': 1}}))
`;
    const grade = { language: 'python', source: harness };
    const job = await stack.submit({ language: 'python', source: student, grade }, 60);
    expect(job).toMatchObject({ verdict: 'accepted', points: 1 });
  });
});
