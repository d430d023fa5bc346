/**
 * `npm run bench:scale -- [--json] [--jobs N] [--queued N,N,…]`: whether a job costs the same however many
 * wait. 100 tenants; for each depth a Redis of its own, filled to it, with a real executor that runs nothing:
 * one job in, one job through, so the depth stays. The depths take turns in blocks, so that whatever else the
 * machine does meets all of them. Beside that what submitting costs over a bare `add` of BullMQ.
 */
import { parseArgs } from 'node:util';
import { describeMachine } from './machine.js';
import { measureAdd } from './scale-add.js';
import { startStation, type Station } from './scale-station.js';

const TENANTS = 100;
const BLOCK_JOBS = 50;
const WARM_UP_BLOCKS = 4;

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    jobs: { type: 'string', default: '2000' },
    queued: { type: 'string', default: '100,10000,100000' },
  },
});
const jobs = Number(options.jobs);
const depths = options.queued.split(',').map(Number);
if (
  !(jobs >= BLOCK_JOBS && jobs <= 1_000_000) ||
  !depths.every((depth) => Number.isInteger(depth) && depth >= 1 && depth <= 1_000_000)
) {
  throw new Error(`usage: [--json] [--jobs ${BLOCK_JOBS}..] [--queued N,N,…]`);
}

const rounded = (value: number): number => Math.round(value * 1_000) / 1_000;

async function measure(stations: readonly Station[]) {
  for (let block = -WARM_UP_BLOCKS; block < jobs / BLOCK_JOBS; block += 1) {
    if (block === 0) for (const station of stations) station.forget();
    for (const station of stations) await station.run(BLOCK_JOBS);
  }
  const rows = stations.map(({ queued, submits, redisCpuMs, bytesPerJob }) => ({
    queued,
    jobs: submits.count,
    submitP50Ms: rounded(submits.percentile(0.5)),
    submitP99Ms: rounded(submits.percentile(0.99)),
    redisCpuMsPerJob: rounded(redisCpuMs() / submits.count),
    redisBytesPerQueuedJob: Math.round(bytesPerJob),
  }));
  const spread = (of: (row: (typeof rows)[number]) => number): number =>
    rounded(Math.max(...rows.map(of)) / Math.min(...rows.map(of)));
  return {
    rows,
    spread: {
      submitP99: spread(({ submitP99Ms }) => submitP99Ms),
      redisCpuPerJob: spread(({ redisCpuMsPerJob }) => redisCpuMsPerJob),
    },
  };
}

const machine = describeMachine();
const stations: Station[] = [];
try {
  for (const queued of depths) {
    if (!options.json) process.stdout.write(`filling one Redis with ${queued} jobs\n`);
    stations.push(await startStation(queued, TENANTS));
  }
  const { rows, spread } = await measure(stations);
  const add = await measureAdd(jobs);
  const report = { machine, tenants: TENANTS, rows, spread, add };
  if (options.json) process.stdout.write(`${JSON.stringify(report, null, 1)}\n`);
  else {
    console.table(rows);
    console.table({ 'highest over lowest': spread });
    console.table({ 'p50 of one after the other, ms': add });
  }
} finally {
  for (const station of stations) await station.stop();
}
process.exit(0);
