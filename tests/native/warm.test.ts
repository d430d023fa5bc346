/**
 * Every job ends the same, whether its interpreter had started already or not: all programs of the language table, all
 * limits, and what a program can find out about its own process. And what cannot be the same is started anew.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import { MIB, startTestSandbox } from '../helpers/boxes.js';
import { runJob, type LanguageJob } from '../helpers/languages.js';
import { programSource } from '../helpers/programs.js';
import { allWarm, noting, onceWarm, startWarmSandbox } from '../helpers/warm.js';
import { PROGRAMS } from '../languages/programs.js';

interface Row extends Omit<LanguageJob, 'language' | 'source'> {
  readonly title: string;
  readonly source?: string;
  readonly python?: string;
  readonly javascript?: string;
  /** What in the output is its own in every run. */
  readonly own?: RegExp;
}

const same: readonly Row[] = [
  { title: 'says hello', python: PROGRAMS.python.hello, javascript: PROGRAMS.javascript.hello },
  {
    title: 'reads its input',
    python: PROGRAMS.python.echo,
    javascript: PROGRAMS.javascript.echo,
    stdin: 'one\ntwo\n',
  },
  {
    title: 'reads a large input',
    python: 'import sys; print(len(sys.stdin.buffer.read()), sys.stdin.buffer.tell())',
    javascript: 'console.log(require("fs").readFileSync(0).length)',
    stdin: 'x'.repeat(900_000),
  },
  { title: 'is empty', python: '', javascript: '' },
  {
    title: 'fails by an error of its own',
    python: 'def f():\n    raise ValueError("mine")\n\nf()\n',
    javascript: PROGRAMS.javascript.crash,
  },
  {
    title: 'is no program',
    python: 'print("never")\nif True print(1)\n',
    javascript: 'console.log("never")\nconst const = 1\n',
  },
  {
    title: 'is stopped when its time is over',
    python: PROGRAMS.python.loop,
    javascript: PROGRAMS.javascript.loop,
    limits: { cpuTimeMs: 300 },
  },
  {
    title: 'is stopped when it waits for too long',
    python: 'import time; print("waits", flush=True); time.sleep(60)',
    javascript: 'console.log("waits"); setTimeout(() => undefined, 60_000)',
    limits: { wallTimeMs: 500 },
  },
  {
    title: 'is stopped when its memory is full',
    python: PROGRAMS.python.eat,
    javascript: 'const a = []; for (;;) a.push(Buffer.alloc(1 << 20, 1))',
    limits: { cpuTimeMs: 30_000 },
  },
  {
    title: 'is stopped when it has written too much',
    python: 'while True: print("y" * 99)',
    javascript: 'for (;;) require("fs").writeSync(1, "y".repeat(99) + "\\n")',
    limits: { outputBytes: 10_000 },
  },
  {
    title: 'fills its disk',
    python: 'with open("big", "wb") as big:\n    while True: big.write(bytes(1 << 16))',
    javascript: 'for (;;) require("fs").appendFileSync("big", Buffer.alloc(1 << 16))',
    limits: { diskBytes: 4 * MIB },
  },
  {
    title: 'makes too many files',
    python: 'for i in range(1000): open(f"f{i}", "w").close()',
    javascript: 'for (let i = 0; i < 1000; i++) require("fs").writeFileSync(`f${i}`, "")',
    limits: { files: 100 },
  },
  {
    title: 'may not have as many processes as it wants',
    python:
      'import os, signal\nmade = 0\ntry:\n    while True:\n        if os.fork() == 0: signal.pause()\n        made += 1\nexcept OSError as e: print(made, e)',
    limits: { processes: 64 },
  },
  {
    title: 'may not make a file larger than its limit',
    python:
      'import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nf = open("big", "wb")\nf.truncate(1 << 30)',
  },
  {
    title: 'uses its own module and file, and returns files',
    python:
      'import helper, inspect, sys\nopen("out.txt", "w").write(helper.word() + open("main.py").read() + open("data/a.txt").read())\nprint(inspect.getsource(sys.modules["__main__"]))',
    javascript:
      'const fs = require("fs"); fs.writeFileSync("out.txt", require("./helper.js") + fs.readFileSync(__filename, "utf8") + fs.readFileSync("data/a.txt", "utf8"))',
    files: [
      { path: 'helper.py', content: 'def word(): return "helped"' },
      { path: 'helper.js', content: 'module.exports = "helped"' },
      { path: 'data/a.txt', content: 'data' },
    ],
    collect: ['out.txt'],
  },
  {
    title: 'is started again by itself',
    python:
      'import multiprocessing as m, os, subprocess, sys\ndef f(x): return x * x\nif __name__ == "__main__":\n    m.set_start_method("spawn")\n    with m.Pool(2) as p: print(p.map(f, range(5)))\n    print(subprocess.run([sys.executable, "-c", "import os, sys; print(sorted(os.environ.items()), sys.stdin.read())"], capture_output=True, text=True))',
    javascript:
      'const { spawnSync } = require("child_process"); const r = spawnSync(process.execPath, ["-p", "JSON.stringify([process.env, require(\'fs\').readFileSync(0, \'utf8\'), process.execArgv])"], { stdio: "pipe" }); console.log(r.status, String(r.stdout), String(r.stderr))',
  },
  {
    title: 'finds the same threads, limits and descriptors',
    python: `
import os, resource, signal, sys, threading
for name in sorted(dir(resource)):
    if name.startswith("RLIMIT_"): print(name, resource.getrlimit(getattr(resource, name)))
print(sorted(os.sched_getaffinity(0)).__len__(), os.cpu_count(), os.nice(0), os.getcwd(), os.umask(0o22))
for fd in range(3): print(fd, os.fstat(fd).st_mode, os.isatty(fd), os.get_inheritable(fd))
print(os.readlink("/proc/self/fd/0"), [f.fileno() for f in (sys.stdin, sys.stdout, sys.stderr)])
print(sorted(os.listdir("/proc/self/fd")), open("/proc/self/cmdline").read(), open("/proc/self/comm").read())
print({s: signal.getsignal(s) for s in signal.valid_signals()})
print(signal.pthread_sigmask(signal.SIG_BLOCK, []), os.getpid(), os.getpgid(0), os.getsid(0), os.getppid())
def deep(n): return 0 if n == 0 else 1 + deep(n - 1)
sys.setrecursionlimit(20_000)
print(deep(15_000))
out = []
thread = threading.Thread(target=lambda: out.append(open(f"/proc/self/task/{threading.get_native_id()}/status").read().count("Name")))
thread.start(); thread.join(); print(out, threading.stack_size())
`,
    javascript: `
const fs = require("fs"), os = require("os");
console.log(process.argv, process.execArgv, process.cwd(), process.umask(), os.availableParallelism?.(), process.getpriority?.());
console.log(fs.readFileSync("/proc/self/cmdline", "utf8"), fs.readFileSync("/proc/self/limits", "utf8"), process.env);
console.log(fs.readdirSync("/proc/self/task").length, [0, 1, 2].map((fd) => fs.readlinkSync("/proc/self/fd/" + fd).replace(/\\d+/g, "")));
console.log(fs.readdirSync("/proc/self/fd").length, require("v8").getHeapStatistics().heap_size_limit, module.paths, require.main === module, Object.keys(require.cache));
console.log(Object.getOwnPropertyNames(globalThis).sort().join(), process.moduleLoadList.length, process.pid, process.ppid, process.eventNames());
`,
  },
  {
    title: 'finds itself the same',
    python: `
import sys, os
print(sys.argv, sys.orig_argv, sys.flags, sys.path, sys.executable, sorted(os.environ.items()))
print(sorted(sys.modules), sorted(sys.path_importer_cache), __name__, __file__, __spec__, __builtins__, __doc__, __annotations__, type(__loader__), __loader__.path)
print({k: type(v).__name__ for k, v in globals().items()}, sys.stdin.encoding, sys.stdout.errors, sys.stdout.line_buffering, sys.stdin.buffer.raw.name)
import gc, threading
print(gc.isenabled(), gc.get_threshold(), threading.active_count(), sys.getrecursionlimit(), sys.getswitchinterval(), len(sys.warnoptions))
`,
  },
  {
    title: 'sees the same box',
    python: programSource('facts.py'),
    own: /"(namespaces|mountinfo|processes)": (\{[^}]*\}|"(\\.|[^"\\])*"|\[[^\]]*\])|"(VmPeak|VmSize|VmLck|VmHWM|VmRSS|RssAnon|RssFile|RssShmem|VmData|VmPTE|HugetlbPages|voluntary_ctxt_switches|nonvoluntary_ctxt_switches|SigQ|Cpus_allowed|Cpus_allowed_list)": "[^"]*"/g,
  },
  { title: 'says in what encoding it is', python: '# -*- coding: utf-8 -*-\nprint("ä")' },
];

const cold: readonly Row[] = [
  { title: 'has arguments', python: 'import sys; print(sys.argv)', args: ['-v', 'ä b'] },
  { title: 'has an environment', python: 'import os; print(os.environ["A"])', env: { A: '1' } },
  { title: 'has its own hash seed', python: 'print(hash("x"))', env: { PYTHONHASHSEED: '7' } },
  { title: 'has options', javascript: 'f(', env: { NODE_OPTIONS: '--stack-trace-limit=1' } },
  {
    title: 'has another stack',
    python: 'import resource; print(resource.getrlimit(resource.RLIMIT_STACK))',
    limits: { stackBytes: 8 * MIB },
  },
  {
    title: 'has other descriptors',
    python: 'import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE))',
    limits: { openFiles: 64 },
  },
  {
    title: 'has two CPUs',
    python: 'import os; print(len(os.sched_getaffinity(0)) > 0)',
    limits: { cpus: 2 },
  },
  { title: 'has little memory', python: 'print(1)', limits: { memoryBytes: 4 * MIB } },
  {
    title: 'has one process',
    javascript: 'console.log(1)',
    limits: { processes: 1 },
    own: /node\[\d+\]|0x[0-9a-f]+/g,
  },
  {
    title: 'has another heap',
    javascript: 'console.log(process.execArgv)',
    limits: { memoryBytes: 300 * MIB },
  },
  { title: 'is written in Latin 1', python: '# coding: latin-1\nprint("a")' },
  {
    title: 'is written in utf8, which has another name',
    python: '#!/x\n# vim: set fileencoding=utf8 :\nprint("ä")',
  },
  { title: 'is long', python: `print(1)${'\n# '.padEnd(70_000, 'x')}` },
  {
    title: 'is a module',
    javascript: 'import fs from "fs"; console.log(typeof fs)',
    files: [{ path: 'package.json', content: '{"type": "module"}' }],
  },
  {
    title: 'has packages of the user',
    python: 'import mine; print(mine.word)',
    files: [{ path: '.local/lib/python3.11/site-packages/mine.py', content: 'word = "found"' }],
  },
  {
    title: 'reads a larger input',
    python: 'import sys; print(len(sys.stdin.read()))',
    stdin: 'x'.repeat(1_100_000),
  },
];

function ofLanguages(rows: readonly Row[]): [string, LanguageJob, RegExp | undefined][] {
  return rows.flatMap(({ title, python, javascript, own, ...job }) =>
    Object.entries({ python, javascript }).flatMap(([language, source]) =>
      source === undefined
        ? []
        : [
            [`${language}: ${title}`, { ...job, language, source }, own] as [
              string,
              LanguageJob,
              RegExp | undefined,
            ],
          ],
    ),
  );
}

describe('an interpreter that has started', () => {
  let started: NativeSandbox;
  let unstarted: NativeSandbox;
  beforeAll(async () => {
    started = await startWarmSandbox();
    unstarted = await startTestSandbox();
  });
  afterAll(async () => {
    await started.stop();
    await unstarted.stop();
  });

  async function runStarted(job: LanguageJob) {
    const noted = noting(started);
    const end = await runJob(noted.sandbox, job);
    return { end, warm: noted.warm[0] === true };
  }

  async function both(job: LanguageJob, expected: boolean, own = /(?!)/g) {
    const without = await runJob(unstarted, job);
    await allWarm(started);
    const done = expected
      ? await onceWarm(started, 2, () => runStarted(job))
      : await runStarted(job);
    const withIt = done.end;
    const of = ({ work, files }: typeof without) => {
      const { outcome, exitCode, signal, stdout, stderr, stdoutTruncated, stderrTruncated } =
        work.run ?? {};
      const { oomKills, diskBytes, processesPeak } = work.run?.usage ?? {};
      const text = [stdout, stderr].map((each) =>
        typeof each === 'string' ? each.replace(own, '') : each,
      );
      const result = { outcome, exitCode, signal, text, stdoutTruncated, stderrTruncated, files };
      return { ...result, omitted: work.filesOmitted, oomKills, diskBytes, processesPeak };
    };
    return { warm: done.warm, withIt: of(withIt), without: of(without) };
  }

  it.each(ofLanguages(same))('%s', async (_title, job, own) => {
    const { warm, withIt, without } = await both(job, true, own);
    expect(warm).toBe(true);
    expect(withIt).toEqual(without);
  });

  it.each(ofLanguages(cold))('is not used where it would differ: %s', async (_title, job, own) => {
    const { warm, withIt, without } = await both(job, false, own);
    expect(warm).toBe(false);
    expect(withIt).toEqual(without);
  });

  it.each(['python', 'javascript'])('is not billed for its start: %s', async (language) => {
    const source = language === 'python' ? 'print(1)' : 'process.reallyExit(0)';
    const before = await runJob(unstarted, { language, source });
    const { end: after, warm } = await onceWarm(started, 2, () => runStarted({ language, source }));
    expect(warm).toBe(true);
    const [cpu, peak] = (['cpuTimeMs', 'memoryBytesPeak'] as const).map((name) =>
      [after, before].map(({ work }) => work.run?.usage[name] ?? 0),
    );
    expect(cpu?.[0]).toBeLessThan((cpu?.[1] ?? 0) * 0.75);
    // What it holds is the program's, like before.
    expect((peak?.[0] ?? 0) / (peak?.[1] ?? 1)).toBeGreaterThan(0.8);
  });
});
