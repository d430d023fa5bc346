/**
 * npm run bench:telemetry: CPU per job with telemetry on against off, in interleaved pairs. Counted are the
 * API, the executor and all that was started by it and has ended, by the kernel's clocks.
 */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startStack, type Stack } from '../../infra/start/stack.js';
import { createClient } from '../../services/client/client.js';

const PAIRS = 5;
const JOBS = { warm: 20, counted: 60, atOnce: 4 } as const;
const TICKS_PER_SECOND = 100;

/** User and system time of a process, of its threads, and of its children that are gone. */
function cpuMs(pid: number | null): { own: number; all: number } {
  const stat = readFileSync(`/proc/${pid ?? 0}/stat`, 'utf8');
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const [user = 0, system = 0, childUser = 0, childSystem = 0] = fields.slice(11, 15);
  const own = ((user + system) * 1_000) / TICKS_PER_SECOND;
  return { own, all: own + ((childUser + childSystem) * 1_000) / TICKS_PER_SECOND };
}

async function runJobs(stack: Stack, count: number): Promise<void> {
  const client = createClient({ url: stack.url, apiKey: stack.apiKey });
  let left = count;
  async function worker(): Promise<void> {
    while ((left -= 1) >= 0) await client.run({ language: 'python', source: 'print(1)' });
  }
  await Promise.all(Array.from({ length: JOBS.atOnce }, worker));
}

async function cpuPerJob(env: Readonly<Record<string, string>>): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-bench-'));
  const output = openSync('/dev/null', 'w');
  const stack = await startStack({
    redisDir: join(directory, 'redis'),
    port: 0,
    apiKey: null,
    admin: null,
    env: { MAYFLY_LOG_LEVEL: 'warn', ...env },
    output,
    report: () => undefined,
  });
  try {
    await runJobs(stack, JOBS.warm);
    const used = (): number => cpuMs(stack.api.pid()).own + cpuMs(stack.executor.pid()).own;
    const before = used();
    await runJobs(stack, JOBS.counted);
    return (used() - before) / JOBS.counted;
  } finally {
    await stack.stop();
    closeSync(output);
    rmSync(directory, { recursive: true });
  }
}

async function main(): Promise<void> {
  // A collector that takes everything: what is measured is the cost of telling it.
  const collector = createServer((request, response) => {
    request.resume();
    request.on('end', () => response.writeHead(200).end());
  });
  await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
  const { port } = collector.address() as AddressInfo;
  const on = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` };
  const ratios: number[] = [];
  for (let pair = 1; pair <= PAIRS; pair += 1) {
    const off = await cpuPerJob({});
    const traced = await cpuPerJob(on);
    ratios.push(traced / off);
    process.stdout.write(
      `pair ${pair}: off ${off.toFixed(2)} ms, on ${traced.toFixed(2)} ms, ratio ${(traced / off).toFixed(3)}\n`,
    );
  }
  ratios.sort((a, b) => a - b);
  process.stdout.write(`median ratio ${(ratios[Math.floor(PAIRS / 2)] ?? 0).toFixed(3)}\n`);
  collector.close();
}

await main();
