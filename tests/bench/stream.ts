/**
 * `npm run bench:stream -- [--json] [--runs N] [--pairs N]`: how late output is, and what it costs.
 *
 * 1. From a program's write to its first byte at a client of the events, one job each.
 * 2. Whether who comes late and who resumes gets the same bytes.
 * 3. What jobs that nobody watches pay: against a copy of this build from which the hooks were taken out,
 *    job by job in turns.
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
import { readEvents, type EventTarget } from '../helpers/events.js';
import { createJobClient, type JobClient } from './job-client.js';
import { cpuMs, describeMachine } from './machine.js';
import { Samples } from './samples.js';

const STATE_DIR = process.env['MAYFLY_STATE_DIR'] ?? '/var/lib/mayfly';
const root = fileURLToPath(new URL('../../..', import.meta.url));

/** Says when it writes, by the clock that the box shares with us. */
const STAMP = `import os, time
time.sleep(0.06)
os.write(1, b"%.6f\\n" % time.time())
time.sleep(0.02)
`;
const TALK = `import sys, time
for i in range(60):
    print("line", i, "x" * 700, flush=True)
    print("err", i, file=sys.stderr, flush=True)
    time.sleep(0.004)
`;
/** Writes in pieces: each is a call of the hook. */
const UNWATCHED = {
  image: 'base',
  steps: [{ name: 'run', argv: ['bash', '-c', 'for i in {1..400}; do echo line $i; done'] }],
};

type Stack = stacks.Stack;

async function start(dist: string, directory: string): Promise<Stack> {
  const url = pathToFileURL(join(dist, 'infra/start/stack.js')).href;
  const { startStack } = (await import(url)) as typeof stacks;
  return await startStack({
    redisDir: join(directory, 'redis'),
    port: 0,
    apiKey: null,
    admin: null,
    env: { MAYFLY_STATE_DIR: STATE_DIR, MAYFLY_LOG_LEVEL: 'warn' },
    output: openSync('/dev/null', 'a'),
    report: () => undefined,
  });
}

async function submit({ url, apiKey }: EventTarget, source: string): Promise<string> {
  const response = await fetch(`${url}/v1/jobs`, {
    method: 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ language: 'python', source }),
  });
  return ((await response.json()) as { id: string }).id;
}

async function firstByte(target: EventTarget): Promise<number> {
  const reader = await readEvents(target, await submit(target, STAMP));
  const { data, atMs } = await reader.until(({ event }) => event === 'stdout');
  await reader.ended;
  const wroteMs = Number(Buffer.from(String(data['data']), 'base64').toString()) * 1_000;
  return performance.timeOrigin + atMs - wroteMs;
}

/** Whether three readers, who came at different times, put together the same. */
async function sameBytes(target: EventTarget): Promise<boolean> {
  const id = await submit(target, TALK);
  const first = await readEvents(target, id);
  const some = await first.until(
    ({ event, data }) => event === 'stdout' && Number(data['offset']) > 5_000,
  );
  const late = await readEvents(target, id);
  const resumed = await readEvents(target, id, some.id ?? '');
  await Promise.all([first.ended, late.ended, resumed.ended]);
  const before = { ...first, events: first.events.slice(0, first.events.indexOf(some) + 1) };
  return (['stdout', 'stderr'] as const).every((stream) => {
    const whole = first.text(stream);
    const head = before.events
      .filter(({ event }) => event === stream)
      .map(({ data }) => Buffer.from(String(data['data']), 'base64').toString())
      .join('');
    return late.text(stream) === whole && head + resumed.text(stream) === whole;
  });
}

/** This build without streaming: what the executor calls does nothing, what the scripts look up is not there. */
function withoutStreams(directory: string): string {
  const dist = join(directory, 'dist');
  cpSync(join(root, 'dist'), dist, { recursive: true });
  for (const name of ['node_modules', 'native', 'package.json']) {
    symlinkSync(join(root, name), join(directory, name));
  }
  const edit = (path: string, from: RegExp, to: string): void => {
    const text = readFileSync(join(dist, path), 'utf8');
    const edited = text.replace(from, to);
    if (edited === text) throw new Error(`nothing to take out of ${path}`);
    writeFileSync(join(dist, path), edited);
  };
  edit('workers/executor/run-task.js', /^\s*live\.(stepBegins|onAction)\(.*\);$/gm, '');
  edit('workers/executor/run-task.js', /createOutput\(\(\) => live\.wrote\(\)\)/, 'createOutput()');
  edit(
    'services/platform/scripts/job-tasks.js',
    /redis\.call\('SMEMBERS', key\('listeners', job\)\)/,
    '{}',
  );
  return dist;
}

interface Side {
  readonly stack: Stack;
  readonly client: JobClient;
  readonly request: Samples;
  cpuMs: number;
}

function sideOf(stack: Stack): Side {
  const client = createJobClient(stack.url, stack.apiKey);
  return { stack, client, request: new Samples(), cpuMs: 0 };
}

const busyMs = ({ stack }: Side): number =>
  [stack.api, stack.executor, stack.redis].reduce((sum, child) => sum + cpuMs(child.pid() ?? 0), 0);

async function compare(sides: readonly [Side, Side], pairs: number): Promise<void> {
  const body = JSON.stringify(UNWATCHED);
  for (let i = 0; i < 20; i += 1) for (const { client } of sides) await client.run(body);
  const before = sides.map(busyMs);
  for (let pair = 0; pair < pairs; pair += 1) {
    // Whoever is second finds the caches of the first.
    const order = pair % 2 === 0 ? sides : [sides[1], sides[0]];
    for (const { client, request } of order) request.add((await client.run(body)).ms);
  }
  sides.forEach((side, index) => (side.cpuMs = (busyMs(side) - (before[index] ?? 0)) / pairs));
}

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    runs: { type: 'string', default: '200' },
    pairs: { type: 'string', default: '600' },
  },
});
const runs = Number(options.runs);
const pairs = Number(options.pairs);

const directory = mkdtempSync(join(tmpdir(), 'mayfly-bench-'));
const stopping: (() => Promise<void>)[] = [];
try {
  const machine = describeMachine();
  const stack = await start(join(root, 'dist'), join(directory, 'with'));
  stopping.push(() => stack.stop());
  const latency = new Samples();
  for (let run = -5; run < runs; run += 1) {
    const ms = await firstByte(stack);
    if (run >= 0) latency.add(ms);
  }
  let same = 0;
  const comparisons = Math.min(20, runs);
  for (let run = 0; run < comparisons; run += 1) same += (await sameBytes(stack)) ? 1 : 0;

  const bare = await start(withoutStreams(directory), join(directory, 'without'));
  stopping.push(() => bare.stop());
  const sides = [sideOf(stack), sideOf(bare)] as const;
  await compare(sides, pairs);
  for (const { client } of sides) client.close();
  const [withHooks, without] = sides;
  const report = {
    machine,
    firstByteMs: {
      runs,
      p50: latency.percentile(0.5),
      p95: latency.percentile(0.95),
      max: latency.percentile(1),
    },
    sameBytes: { runs: comparisons, same },
    unwatched: {
      pairs,
      p50Ms: { with: withHooks.request.percentile(0.5), without: without.request.percentile(0.5) },
      cpuMsPerJob: { with: withHooks.cpuMs, without: without.cpuMs },
      p50Ratio: withHooks.request.percentile(0.5) / without.request.percentile(0.5),
      meanRatio: withHooks.request.sum / without.request.sum,
      cpuRatio: withHooks.cpuMs / without.cpuMs,
    },
  };
  process.stdout.write(`${JSON.stringify(report, null, options.json ? 0 : 2)}\n`);
} finally {
  for (const stop of stopping) await stop();
  rmSync(directory, { recursive: true });
}
