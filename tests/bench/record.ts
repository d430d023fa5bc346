/**
 * `npm run bench:record`: what a job costs over HTTP, next to a plain spawn of the same program measured in
 * between, so that both see the same machine. One at a time, on an idle host.
 */
import type { Job } from '../../services/contract/job.js';
import { startTestStack, type TestStack } from '../helpers/stack.js';
import { Samples } from './samples.js';
import { startSpawner } from './spawner.js';

const ROUNDS = 200;
const WARM_UP = 10;

const subjects = {
  '/bin/true': { image: 'base', steps: [{ name: 'run', argv: ['/bin/true'] }] },
  'C program': {
    language: 'c',
    source: '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n',
  },
} as const;

async function measured(stack: TestStack, request: object): Promise<{ job: Job; ms: number }> {
  const since = performance.now();
  const job = await stack.submit(request, 10);
  const ms = performance.now() - since;
  const last = job.run ?? job.steps?.at(-1);
  if (last?.exitCode !== 0) throw new Error(`went wrong: ${JSON.stringify(job).slice(0, 500)}`);
  return { job, ms };
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function record(stack: TestStack, measureSpawn: () => Promise<number>): Promise<void> {
  print(`${ROUNDS} sequential POST /v1/jobs?wait=10, milliseconds\n`);
  print(`${'program'.padEnd(12)}${'what'.padEnd(14)}      p50       p95`);
  for (const [name, request] of Object.entries(subjects)) {
    const kinds = {
      request: new Samples(),
      queue: new Samples(),
      box: new Samples(),
      'wall of run': new Samples(),
      'plain spawn': new Samples(),
    };
    for (let round = -WARM_UP; round < ROUNDS; round += 1) {
      const spawned = await measureSpawn();
      const { job, ms } = await measured(stack, request);
      if (round < 0) continue;
      kinds.request.add(ms);
      kinds.queue.add(job.timings.queuedMs);
      kinds.box.add(job.timings.boxMs);
      kinds['wall of run'].add((job.run ?? job.steps?.at(-1))?.usage.wallTimeMs ?? null);
      kinds['plain spawn'].add(spawned);
    }
    for (const [kind, samples] of Object.entries(kinds)) {
      const figures = [0.5, 0.95].map((share) => samples.percentile(share).toFixed(2).padStart(9));
      print(`${name.padEnd(12)}${kind.padEnd(14)}${figures.join(' ')}`);
    }
  }
}

const spawner = await startSpawner('/bin/true');
try {
  const stack = await startTestStack({ MAYFLY_LOG_LEVEL: 'warn' });
  try {
    await record(stack, () => spawner.measure());
  } finally {
    await stack.stop();
  }
} finally {
  await spawner.stop();
}
