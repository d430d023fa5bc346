/**
 * `npm run bench:judge -- [--json] [--rounds N] [--warm-up N] [--boxes N]`: what 100 tests of a small C++ program cost, compiled once, beside the
 * bound made of its parts, which are measured in the same run, and beside compiling for each test.
 *
 * bound = compile + 100 × (box + program) / slots × 1.3. `box` is what `bench:box` says of pooled boxes that run
 * /bin/true back to back, as many at a time as there are slots (one or two), before and after the rest; `program` is
 * the wall time of the tests when they run one by one. `timesParts` is what stands at the place of 1.3.
 *
 * The service has judged --warm-up submissions before: its JavaScript is compiled as it is in a service that has been at
 * work for some seconds.
 */
import { execFileSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import type { Job } from '../../services/contract/job.js';
import { startTestStack, type TestStack } from '../helpers/stack.js';
import { cpuMs, descendants, describeMachine } from './machine.js';
import { Samples } from './samples.js';

const TESTS = 100;
const FACTOR = 1.3;
/** Of the part that compiles for each test. */
const CLIENTS = 4;

const SOURCE = `#include <cstdio>
int main() { long a, b; if (scanf("%ld %ld", &a, &b) != 2) return 1; printf("%ld\\n", a + b); }
`;

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '9' },
    'warm-up': { type: 'string', default: '30' },
    boxes: { type: 'string', default: '1000' },
  },
});
const rounds = Number(options.rounds);
const warmUp = Number(options['warm-up']);
if (!(rounds >= 1 && rounds <= 1_000 && warmUp >= 1 && warmUp <= 1_000)) {
  throw new Error('usage: [--json] [--rounds 1..1000] [--warm-up 1..1000]');
}

/** Nobody has compiled this one before. */
let sources = 0;
const freshSource = (): string => `// ${(sources += 1)}\n${SOURCE}`;

const tests = Array.from({ length: TESTS }, (_, i) => ({
  stdin: `${i} 1\n`,
  expectedStdout: `${i + 1}\n`,
}));

async function judge(stack: TestStack, source: string, parallel: number) {
  const checker = { kind: 'tokens' };
  const body = { language: 'cpp', source, tests, judge: { checker, parallel } };
  const since = performance.now();
  const job = await stack.submit(body, 60);
  const ms = performance.now() - since;
  if (job.verdict !== 'accepted')
    throw new Error(`not judged: ${JSON.stringify(job).slice(0, 500)}`);
  return { job, ms };
}

function compileMs({ compile }: Job): number {
  return compile?.usage.wallTimeMs ?? Number.NaN;
}

/** As many jobs as tests, each of which compiles the program. */
async function recompile(stack: TestStack): Promise<number> {
  const since = performance.now();
  let next = 0;
  const client = async (): Promise<void> => {
    for (let test = tests[next++]; test !== undefined; test = tests[next++]) {
      const body = { language: 'cpp', source: SOURCE, stdin: test.stdin };
      const { run } = await stack.submit(body, 60);
      if (run?.stdout !== test.expectedStdout) throw new Error('another sum was expected');
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  return performance.now() - since;
}

interface BoxRow {
  readonly name: string;
  readonly program: string;
  readonly mode: string;
  readonly p50Ms: number;
}

/** By the benchmark of boxes itself; no service runs meanwhile. */
function boxMs(): number {
  const args = ['--json', '--only', 'back-to-back', '--back-to-back', options.boxes];
  const text = execFileSync('native/bench/run', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const { results } = JSON.parse(text.toString()) as { results: BoxRow[] };
  const wanted = slots === 1 ? 'back-to-back' : 'back-to-back-2';
  const row = results.find(
    ({ name, program, mode }) =>
      name === 'mayfly-pooled' && program === '/bin/true' && mode === wanted,
  );
  if (row === undefined) throw new Error('the benchmark of boxes has no row of pooled boxes');
  return row.p50Ms;
}

/** CPU time of the service's processes and of the boxes that they have waited for. */
function busyMs({ stack }: TestStack): Record<string, number> {
  const pids = { api: stack.api.pid(), executor: stack.executor.pid(), redis: stack.redis.pid() };
  const busy: Record<string, number> = {};
  for (const [name, pid] of Object.entries(pids)) {
    if (pid === null) throw new Error(`${name} does not run`);
    busy[name] = cpuMs(pid);
  }
  const [supervisor, maker] = descendants(pids.executor ?? 0);
  if (supervisor === undefined || maker === undefined) throw new Error('no supervisor runs');
  return { ...busy, supervisor: cpuMs(supervisor), makerAndBoxes: cpuMs(maker) };
}

const machine = describeMachine();
const slots = availableParallelism();
const boxBeforeMs = boxMs();
const stack = await startTestStack({ MAYFLY_LOG_LEVEL: 'warn' });
try {
  const samples = {
    total: new Samples(),
    again: new Samples(),
    compile: new Samples(),
    program: new Samples(),
    recompiled: new Samples(),
  };
  for (let round = 0; round < warmUp; round += 1) await judge(stack, freshSource(), slots);
  const before = busyMs(stack);
  for (let round = 0; round < rounds; round += 1) {
    const source = freshSource();
    const first = await judge(stack, source, slots);
    samples.total.add(first.ms);
    samples.compile.add(compileMs(first.job));
    samples.again.add((await judge(stack, source, slots)).ms);
  }
  const after = busyMs(stack);
  for (const test of (await judge(stack, freshSource(), 1)).job.tests ?? []) {
    samples.program.add(test.run?.usage.wallTimeMs ?? null);
  }
  samples.recompiled.add(await recompile(stack));
  await stack.stop();

  const parts = {
    compileMs: samples.compile.percentile(0.5),
    programMs: samples.program.percentile(0.5),
    boxMs: (boxBeforeMs + boxMs()) / 2,
  };
  const partsMs = (TESTS * (parts.boxMs + parts.programMs)) / slots;
  const report = {
    machine,
    rounds,
    warmUp,
    tests: TESTS,
    slots,
    totalMs: { p50: samples.total.percentile(0.5), p95: samples.total.percentile(0.95) },
    compiledBeforeMs: { p50: samples.again.percentile(0.5), p95: samples.again.percentile(0.95) },
    ...parts,
    boundMs: parts.compileMs + partsMs * FACTOR,
    timesParts: (samples.total.percentile(0.5) - parts.compileMs) / partsMs,
    recompiledMs: samples.recompiled.percentile(0.5),
    cpuMsPerTest: Object.fromEntries(
      Object.entries(after).map(([name, ms]) => [
        name,
        (ms - (before[name] ?? 0)) / (2 * rounds * TESTS),
      ]),
    ),
  };
  print(options.json ? JSON.stringify(report, rounded, 1) : tableOf(report));
} catch (error) {
  await stack.stop();
  throw error;
}

function rounded(_name: string, value: unknown): unknown {
  return typeof value === 'number' ? Math.round(value * 1_000) / 1_000 : value;
}

function tableOf(report: object): string {
  return Object.entries(report)
    .map(([name, value]) => `${name.padEnd(18)} ${JSON.stringify(value, rounded)}`)
    .join('\n');
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
