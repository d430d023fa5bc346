/**
 * `npm run bench:http -- [--json] [--samples N] [--clients N] [--warm-up N] [--only PART]`: what a job costs over HTTP, on
 * the whole stack as processes of their own, next to a plain spawn measured in between.
 *
 * So many jobs have run before (--warm-up): the JavaScript of a process that has been at work for a minute is compiled, and
 * takes half of what it takes at first.
 *
 * Parts: sequential, load, costs. Without --only: all of them, but costs only in the table.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startTestStack, type TestStack } from '../helpers/stack.js';
import { createJobClient, type JobClient } from './job-client.js';
import { JobSamples, offer, saturate, type Load } from './load.js';
import { addRow, printJson, printTable, type Row, type ServiceCosts } from './http-report.js';
import { cpuMs, describeMachine, processCost } from './machine.js';
import { Samples } from './samples.js';
import { servicePids } from './service.js';
import { startSpawner, type Spawner } from './spawner.js';

const WARM_UP = 10;
const WARM_UP_MS = 120_000;
const LOAD_BOUNDS = { ms: 10_000, jobs: 5_000 };
/** Between two requests of the sequential part: the pool refills, the machine comes to rest. */
const REST_MS = 8;
const IDLE_MS = 10_000;

const subjects = {
  '/bin/true': { image: 'base', steps: [{ name: 'run', argv: ['/bin/true'] }] },
  'C program': {
    language: 'c',
    source: '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n',
  },
} as const;

interface Bench {
  readonly client: JobClient;
  readonly spawner: Spawner;
  readonly rows: Row[];
}

async function measureSequential(
  bench: Bench,
  program: string,
  body: string,
  rounds: number,
): Promise<void> {
  const spawned = new Samples();
  const samples = new JobSamples();
  for (let round = -WARM_UP; round < rounds; round += 1) {
    const spawnMs = await bench.spawner.measure();
    await sleep(REST_MS);
    const job = await bench.client.run(body);
    await sleep(REST_MS);
    if (round < 0) continue;
    spawned.add(spawnMs);
    samples.add(job);
  }
  const perSecond = (of: Samples): number => (1_000 * of.count) / of.sum;
  const row = { program, mode: 'sequential' };
  addRow(bench.rows, { ...row, name: 'spawn' }, spawned, perSecond(spawned));
  addRow(bench.rows, { ...row, name: 'request' }, samples.request, perSecond(samples.request));
  addRow(bench.rows, { ...row, name: 'queued' }, samples.queued, perSecond(samples.request));
  addRow(bench.rows, { ...row, name: 'box' }, samples.box, perSecond(samples.request));
}

async function measureLoad(
  bench: Bench,
  program: string,
  body: string,
  clients: number,
): Promise<void> {
  const run = () => bench.client.run(body);
  const add = (mode: string, { samples, perSecond }: Load): void => {
    addRow(bench.rows, { name: 'request', program, mode }, samples.request, perSecond);
    addRow(bench.rows, { name: 'queued', program, mode }, samples.queued, perSecond);
  };
  const full = await saturate(run, clients, LOAD_BOUNDS);
  add(`concurrent-${clients}`, full);
  add('half-load', await offer(run, full.perSecond / 2, false, LOAD_BOUNDS));
  add('half-load-random', await offer(run, full.perSecond / 2, true, LOAD_BOUNDS));
}

async function measureCosts(pids: Readonly<Record<string, number>>): Promise<ServiceCosts> {
  const busy = (): number => Object.values(pids).reduce((sum, pid) => sum + cpuMs(pid), 0);
  await sleep(2_000);
  const before = busy();
  await sleep(IDLE_MS);
  const idleCpuPercent = (100 * (busy() - before)) / IDLE_MS;
  const processes = Object.entries(pids).map(([name, pid]) => [name, processCost(pid)] as const);
  return { processes: Object.fromEntries(processes), idleCpuPercent };
}

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    samples: { type: 'string', default: '200' },
    clients: { type: 'string', default: '16' },
    'warm-up': { type: 'string', default: '5000' },
    only: { type: 'string' },
  },
});
const samples = Number(options.samples);
const clients = Number(options.clients);
const warmUp = Number(options['warm-up']);
const wanted = (part: string): boolean =>
  options.only === undefined ? part !== 'costs' || !options.json : options.only === part;
if (
  !(samples >= 1 && samples <= 10_000 && clients >= 1 && clients <= 64) ||
  !(warmUp >= 0 && warmUp <= 100_000) ||
  !['sequential', 'load', 'costs', undefined].includes(options.only)
) {
  throw new Error(
    'usage: [--json] [--samples N] [--clients 1..64] [--warm-up N] [--only sequential|load|costs]',
  );
}

async function measureAll(stack: TestStack, spawner: Spawner): Promise<void> {
  const machine = describeMachine();
  const client = createJobClient(stack.stack.url, stack.stack.apiKey);
  const bench: Bench = { client, spawner, rows: [] };
  try {
    const first = JSON.stringify(subjects['/bin/true']);
    await saturate(() => client.run(first), clients, { ms: WARM_UP_MS, jobs: warmUp });
    for (const [program, request] of Object.entries(subjects)) {
      const body = JSON.stringify(request);
      if (wanted('sequential')) await measureSequential(bench, program, body, samples);
      if (wanted('load')) await measureLoad(bench, program, body, clients);
    }
    const costs = wanted('costs') ? await measureCosts(servicePids(stack)) : null;
    (options.json ? printJson : printTable)(machine, samples, bench.rows, costs);
  } finally {
    client.close();
  }
}

const spawner = await startSpawner('/bin/true');
try {
  const stack = await startTestStack({ MAYFLY_LOG_LEVEL: 'warn' });
  try {
    await measureAll(stack, spawner);
  } finally {
    await stack.stop();
  }
} finally {
  await spawner.stop();
}
