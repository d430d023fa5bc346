/**
 * `npm run bench:exclusive -- [--json] [--runs N]`: CPU time of a program that is judged with "timing": "exclusive" beside
 * a noisy second slot, run by run in turns with the same program while the machine does nothing else. The same for a
 * program that lives on memory, and for both with "shared".
 *
 * `holds` is for the standard deviation and the mean. On a virtual machine a few runs take a tenth longer whatever runs beside;
 * the median and the median absolute deviation (`madMs`) say what the others do.
 */
import { parseArgs } from 'node:util';
import type { Job } from '../../services/contract/job.js';
import { startTestStack, type TestStack } from '../helpers/stack.js';
import { describeMachine } from './machine.js';
import { Samples } from './samples.js';

const MIB = 1024 * 1024;
const SD_FACTOR = 1.5;
const MEAN_OFF = 0.05;

/** 100 ms or so of arithmetic. */
const BURN = `#include <cstdio>
int main() {
  unsigned long x = 1;
  for (long i = 0; i < 60000000; i++) x = x * 6364136223846793005ul + 1442695040888963407ul;
  printf("%d\\n", x != 12345);
}`;
/** Walks through 64 MiB at random, so that it waits for memory and not for the core. */
const WALK = `#include <cstdio>
#include <vector>
int main() {
  const unsigned n = 1u << 24;
  std::vector<unsigned> next(n);
  unsigned long x = 1;
  for (unsigned i = 0; i < n; i++) next[i] = i;
  for (unsigned i = n - 1; i > 0; i--) {
    x = x * 6364136223846793005ul + 1442695040888963407ul;
    unsigned j = (x >> 33) % i;
    unsigned t = next[i]; next[i] = next[j]; next[j] = t;
  }
  unsigned at = 0;
  for (int i = 0; i < 1000000; i++) at = next[at];
  printf("%u\\n", at < n ? 1u : 0u);
}`;
/** Burns and walks until it is cancelled, on as many CPUs as it gets. */
const NOISE = `
import os
for _ in range(3): os.fork()
block = bytearray(32 * 1024 * 1024)
while True:
    for at in range(0, len(block), 4096): block[at] = (block[at] + 1) & 255
`;

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    runs: { type: 'string', default: '50' },
  },
});
const runs = Number(options.runs);
if (!(runs >= 2 && runs <= 10_000)) throw new Error('usage: [--json] [--runs N]');

async function cpuMs(stack: TestStack, source: string, timing: string): Promise<number> {
  const job = await stack.submit(
    {
      language: 'cpp',
      source,
      limits: { cpuTimeMs: 20_000, wallTimeMs: 60_000, memoryBytes: 512 * MIB },
      tests: [{ expectedStdout: '1' }],
      judge: { timing },
    },
    60,
  );
  const run = job.tests?.[0]?.run;
  if (job.verdict !== 'accepted' || run === undefined || run === null) {
    throw new Error(`not judged: ${JSON.stringify(job).slice(0, 500)}`);
  }
  return run.usage.cpuTimeMs;
}

/** Returns what ends it. */
async function makeNoise(stack: TestStack): Promise<() => Promise<void>> {
  const limits = { cpuTimeMs: 60_000, wallTimeMs: 60_000, cpus: 2, memoryBytes: 1024 * MIB };
  const { id } = await stack.submit({ language: 'python', source: NOISE, limits });
  for (let job: Job | null = null; job?.status !== 'running';) job = await stack.get(id);
  await new Promise((resolve) => setTimeout(resolve, 300)); // it has forked by then
  return async () => {
    await stack.call('DELETE', `/v1/jobs/${id}`);
  };
}

interface Figures {
  readonly meanMs: number;
  readonly sdMs: number;
  readonly medianMs: number;
  readonly madMs: number;
}

function median(values: readonly number[]): number {
  const samples = new Samples();
  for (const value of values) samples.add(value);
  return samples.percentile(0.5);
}

function figures(values: readonly number[]): Figures {
  const meanMs = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - meanMs) ** 2, 0);
  const medianMs = median(values);
  return {
    meanMs,
    sdMs: Math.sqrt(squares / (values.length - 1)),
    medianMs,
    madMs: median(values.map((value) => Math.abs(value - medianMs))),
  };
}

async function compare(stack: TestStack, source: string, timing: string) {
  await cpuMs(stack, source, timing); // compiles it
  const alone: number[] = [];
  const noisy: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    alone.push(await cpuMs(stack, source, timing));
    const quiet = await makeNoise(stack);
    noisy.push(await cpuMs(stack, source, timing));
    await quiet();
  }
  const [quietly, beside] = [figures(alone), figures(noisy)];
  const sdRatio = beside.sdMs / quietly.sdMs;
  const meanRatio = beside.meanMs / quietly.meanMs;
  const holds = sdRatio <= SD_FACTOR && Math.abs(meanRatio - 1) <= MEAN_OFF;
  return { alone: quietly, beside, sdRatio, meanRatio, holds };
}

const machine = describeMachine();
const stack = await startTestStack({ MAYFLY_LOG_LEVEL: 'warn' });
try {
  const report: Record<string, unknown> = { machine, runs };
  for (const timing of ['exclusive', 'shared']) {
    report[timing] = {
      computes: await compare(stack, BURN, timing),
      walksThroughMemory: await compare(stack, WALK, timing),
    };
  }
  print(report);
} finally {
  await stack.stop();
}

function rounded(_name: string, value: unknown): unknown {
  return typeof value === 'number' ? Math.round(value * 1_000) / 1_000 : value;
}

function print(report: Record<string, unknown>): void {
  const text = options.json
    ? JSON.stringify(report, rounded, 1)
    : Object.entries(report)
        .map(([name, value]) => `${name.padEnd(10)} ${JSON.stringify(value, rounded)}`)
        .join('\n');
  process.stdout.write(`${text}\n`);
}
