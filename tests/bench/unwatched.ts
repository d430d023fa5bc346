/**
 * `npm run bench:unwatched -- [--json] [--pairs N] [--jobs N] [--control]`: what streaming costs a job that nobody
 * watches. Each pair is two fresh stacks, of this build and of a copy that can only collect output, which run the same
 * jobs in turns. With --control the copy is as this build is: what is told then is the noise.
 */
import {
  cpSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import type * as stacks from '../../infra/start/stack.js';
import { createJobClient, type JobClient } from './job-client.js';
import { describeMachine, threadsCpuMs } from './machine.js';
import { Samples } from './samples.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const WARM_UP = 60;

const steps = (...argv: string[]) => ({ image: 'base', steps: [{ name: 'run', argv }] });
const PROGRAMS = {
  '/bin/true': steps('/bin/true'),
  // In 1,024 writes.
  '64 KiB': steps('bash', '-c', `for ((i = 0; i < 1024; i++)); do echo ${'x'.repeat(63)}; done`),
} as const;
type Program = keyof typeof PROGRAMS;
const NAMES = Object.keys(PROGRAMS) as Program[];

/** What a run tells its listeners, where there are none and never will be. */
const DEAF = `
const nothing = () => undefined;
export const NO_LIVE = { stepBegins: nothing, wrote: nothing, tested: nothing, onListened: nothing, onAction: nothing, idleMs: () => 0 };
export class LiveRunHost {
  stepBegins() {}
  wrote() {}
  tested() {}
  onListened() {}
  onAction() {}
  idleMs() { return 0; }
  take() {}
  close() {}
}
`;

/** A copy of this build; without streaming: no hook in what collects output, no look at who listens. */
function copyOfBuild(directory: string, streams: boolean): string {
  const dist = join(directory, 'dist');
  cpSync(join(root, 'dist'), dist, { recursive: true });
  for (const name of ['node_modules', 'native', 'package.json']) {
    symlinkSync(join(root, name), join(directory, name));
  }
  const edit = (path: string, from: string | RegExp, to: string): void => {
    const text = readFileSync(join(dist, path), 'utf8');
    const edited = text.replace(from, to);
    if (edited === text) throw new Error(`nothing to take out of ${path}`);
    writeFileSync(join(dist, path), edited);
  };
  if (streams) return dist;
  edit('services/platform/live-run.js', /^[\s\S]*$/, DEAF);
  edit('workers/executor/run-task.js', /^\s*live\.(stepBegins|onListened|onAction)\(.*\);$/gm, '');
  edit('workers/executor/run-task.js', 'createOutput(() => live.wrote())', 'createOutput()');
  edit('workers/executor/step-result.js', /^\s*sizes\[stream\] \+= chunk\.length;$/m, '');
  edit('workers/executor/step-result.js', /^\s*onWritten\(\);$/m, '');
  const scripts = 'services/platform/scripts/job-tasks.js';
  edit(scripts, "redis.call('SMEMBERS', key('listeners', job))", '{}');
  edit(
    scripts,
    "redis.call('DEL', watchers, key('listeners', job))",
    "redis.call('DEL', watchers)",
  );
  return dist;
}

async function start(dist: string, directory: string): Promise<stacks.Stack> {
  const url = pathToFileURL(join(dist, 'infra/start/stack.js')).href;
  const { startStack } = (await import(url)) as typeof stacks;
  return await startStack({
    redisDir: join(directory, 'redis'),
    port: 0,
    apiKey: null,
    admin: null,
    env: {
      MAYFLY_LOG_LEVEL: 'warn',
      MAYFLY_BLOB_DIR: join(directory, 'blobs'),
      MAYFLY_CACHE_DIR: join(directory, 'cache'),
    },
    output: openSync('/dev/null', 'a'),
    report: () => undefined,
  });
}

const WHICH = ['with', 'without'] as const;
type Which = (typeof WHICH)[number];
type Sides = Readonly<Record<Which, Side>>;
const inTurns = (number: number): readonly Which[] =>
  number % 2 === 0 ? WHICH : ['without', 'with'];

interface Side {
  readonly stack: stacks.Stack;
  readonly client: JobClient;
}

interface Cost {
  readonly p50Ms: number;
  readonly cpuMsPerJob: number;
}

interface Compared {
  readonly with: Cost;
  readonly without: Cost;
  /** The median of what a job took longer than the one beside it. */
  readonly p50ExtraMs: number;
}

/** Of API and executor: Redis is the same for both, but for a look at a set that is not there. */
const busyMs = ({ stack }: Side): number =>
  threadsCpuMs(stack.api.pid() ?? 0) + threadsCpuMs(stack.executor.pid() ?? 0);

async function runInTurns(sides: Sides, program: Program, jobs: number): Promise<Compared> {
  const body = JSON.stringify(PROGRAMS[program]);
  const took = { with: new Samples(), without: new Samples() };
  const extra = new Samples();
  const busy = (): Record<Which, number> => ({
    with: busyMs(sides.with),
    without: busyMs(sides.without),
  });
  let before = busy();
  for (let job = -WARM_UP; job < jobs; job += 1) {
    if (job === 0) before = busy();
    const ms = { with: 0, without: 0 };
    // Whoever is second finds the caches of the first.
    for (const which of inTurns(job)) ms[which] = (await sides[which].client.run(body)).ms;
    if (job < 0) continue;
    for (const which of WHICH) took[which].add(ms[which]);
    extra.add(ms.with - ms.without);
  }
  const after = busy();
  const costOf = (which: Which): Cost => ({
    p50Ms: took[which].percentile(0.5),
    cpuMsPerJob: (after[which] - before[which]) / jobs,
  });
  return {
    with: costOf('with'),
    without: costOf('without'),
    p50ExtraMs: extra.percentile(0.5),
  };
}

type Pair = Record<Program, Compared>;

async function playPair(number: number, dists: Record<Which, string>, jobs: number) {
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-bench-'));
  const sides: Partial<Record<Which, Side>> = {};
  try {
    for (const which of inTurns(number)) {
      const stack = await start(dists[which], join(directory, which));
      sides[which] = { stack, client: createJobClient(stack.url, stack.apiKey) };
    }
    const pair: Partial<Pair> = {};
    for (const name of NAMES) pair[name] = await runInTurns(sides as Sides, name, jobs);
    return pair as Pair;
  } finally {
    for (const { stack, client } of Object.values(sides)) {
      client.close();
      await stack.stop();
    }
    rmSync(directory, { recursive: true });
  }
}

/** What streaming adds, in percent of what is without it. */
const ADDED = {
  'CPU per job': ({ with: one, without }: Compared) =>
    (one.cpuMsPerJob / without.cpuMsPerJob - 1) * 100,
  p50: ({ without, p50ExtraMs }: Compared) => (p50ExtraMs / without.p50Ms) * 100,
};

function summaryOf(pairs: readonly Pair[]) {
  return NAMES.flatMap((program) =>
    Object.entries(ADDED).map(([what, percentOf]) => {
      const samples = new Samples();
      for (const pair of pairs) samples.add(percentOf(pair[program]));
      const [least, q1, median, q3, most] = [0, 0.25, 0.5, 0.75, 1].map((share) =>
        samples.percentile(share),
      ) as [number, number, number, number, number];
      return { program, what, percent: { least, q1, median, q3, most } };
    }),
  );
}

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    pairs: { type: 'string', default: '7' },
    jobs: { type: 'string', default: '200' },
    control: { type: 'boolean', default: false },
  },
});

const machine = describeMachine();
const directory = mkdtempSync(join(tmpdir(), 'mayfly-bench-'));
try {
  const { control } = options;
  const jobs = Number(options.jobs);
  const dists = { with: join(root, 'dist'), without: copyOfBuild(directory, control) };
  const pairs: Pair[] = [];
  for (let number = 0; number < Number(options.pairs); number += 1) {
    pairs.push(await playPair(number, dists, jobs));
  }
  const added = summaryOf(pairs);
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ machine, control, jobs, added, pairs }, null, 2)}\n`);
  } else {
    process.stdout.write(
      `percent added, ${pairs.length} pairs   least     q1  median      q3    most\n`,
    );
    for (const { program, what, percent } of added) {
      const figures = Object.values(percent).map((each) => each.toFixed(1).padStart(8));
      process.stdout.write(`${program.padEnd(12)}${what.padEnd(14)}${figures.join('')}\n`);
    }
  }
} finally {
  rmSync(directory, { recursive: true });
}
