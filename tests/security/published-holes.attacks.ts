import type { Attack } from '../helpers/attacks.js';

/** Where published-holes.test.ts listens on the host meanwhile. */
export const DATABASE_PORT = 21_985;

/** Tells whether code of the client ran before the box had taken its rights. */
const CODE_PYTHON =
  'print("held: " if "Seccomp:\\t2" in open("/proc/self/status").read() and __import__("os").getuid() else "harm: ", "python code")';
const CODE_NODE =
  'console.log(/Seccomp:\\t2/.test(require("fs").readFileSync("/proc/self/status")) && process.getuid() ? "held: " : "harm: ", "node code")';
const CODE_BASH =
  'grep -q "Seccomp:.2" /proc/self/status && [ $UID != 0 ] && echo "held: code of bash" || echo "harm: code of bash"';

const write = (path: string, text: string, then: string): readonly string[] => [
  '/bin/bash',
  '-c',
  `cat > ${path} <<'END'\n${text}\nEND\n${then}`,
];

/** A descriptor of a directory that only the outside has, and the way up from there. */
const workingDirectory: readonly Attack[] = [
  {
    title:
      'runc CVE-2024-21626: cannot start in a directory of the host through a leaked descriptor',
    command: [
      '/bin/bash',
      '-c',
      'ls /proc/self/cwd/cgroup.procs >/dev/null 2>&1 && echo "harm: a control group of the host" || echo "held: $PWD"',
    ],
    // The control finds the maker's directory of control groups: the number is that of its first open.
    cwd: '/proc/self/fd/5',
    layout: 'v1',
    control: ['descriptors'],
    stopped: ({ outcome, exitCode, stderr }) => {
      if (outcome !== 'exited' || exitCode !== 127 || !stderr.includes('cannot enter')) {
        throw new Error(`${outcome} ${exitCode ?? ''} ${stderr}`);
      }
    },
  },
];

export const publishedHoles: readonly Attack[] = [
  {
    title:
      'CVE-2022-0492: cannot mount control groups in namespaces of its own, with their release_agent',
    attack: ['release_agent'],
    layout: 'v1',
    control: ['capabilities', 'filter'],
  },
  {
    title: 'CVE-2022-0492: cannot do so as an ordinary user either',
    attack: ['unshare', String(0x12000000)],
    control: ['filter'],
  },
  {
    title: 'runc CVE-2019-5736: cannot open the binary that started it through /proc/1/exe',
    attack: ['open_path', '/proc/1/exe', 'r'],
    control: ['capabilities', 'dumpable', 'filter', 'proc'],
  },
  ...workingDirectory,
  {
    title: 'Judge0 CVE-2024-29021: cannot reach a service of the host (its database)',
    attack: ['reach', '127.0.0.1', String(DATABASE_PORT)],
    control: ['network'],
  },
  {
    title: "isolate: cannot meet another run's files in /dev/shm",
    victim: ['victim_file', '/dev/shm/left'],
    attack: ['open_path', '/dev/shm/left', 'r'],
    control: ['shared'],
  },
  {
    title: 'Dify CVE-2025-3466: cannot run code before the box has closed (Python, sitecustomize)',
    command: write('/box/sitecustomize.py', CODE_PYTHON, 'exec python3 -c 1'),
    env: { PYTHONPATH: '/box' },
    control: ['capabilities', 'filter'],
  },
  {
    title: 'Dify CVE-2025-3466: cannot run code before the box has closed (Node, --require)',
    command: write('/box/first.js', CODE_NODE, 'exec node -e 1'),
    env: { NODE_OPTIONS: '--require /box/first.js' },
    control: ['capabilities', 'filter'],
  },
  {
    title: 'Dify CVE-2025-3466: cannot run code before the box has closed (bash, BASH_ENV)',
    command: write('/box/first.sh', CODE_BASH, 'exec bash -c :'),
    env: { BASH_ENV: '/box/first.sh' },
    control: ['capabilities', 'filter'],
  },
];
