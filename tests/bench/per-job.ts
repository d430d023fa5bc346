/**
 * `npm run bench:per-job -- [--json] [--jobs N] [--clients N]`: CPU time of each process
 * of the service per job, and the commands that Redis carried out for it, while clients keep it busy. CPU time
 * says something on a machine that others use as well, which times do not.
 *
 * NODE_OPTIONS is handed on to the service, for a profiler.
 */
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import { startTestStack, type TestStack } from '../helpers/stack.js';
import { createJobClient } from './job-client.js';
import { saturate } from './load.js';
import { cpuMs, describeMachine } from './machine.js';
import { Samples } from './samples.js';
import { servicePids } from './service.js';

const WARM_UP = { ms: 20_000, jobs: 400 };
const BODY = JSON.stringify({ image: 'base', steps: [{ name: 'run', argv: ['/bin/true'] }] });

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    jobs: { type: 'string', default: '1000' },
    clients: { type: 'string', default: '16' },
  },
});
const jobs = Number(options.jobs);
const clients = Number(options.clients);
if (!(jobs >= 1 && jobs <= 100_000 && clients >= 1 && clients <= 64)) {
  throw new Error('usage: [--json] [--jobs N] [--clients 1..64]');
}

/** Calls of each command, and what they cost, as Redis counts them. */
async function commandStats(redis: Redis): Promise<Map<string, { calls: number; us: number }>> {
  const lines = (await redis.info('commandstats')).matchAll(
    /cmdstat_(\S+):calls=(\d+),usec=(\d+)/g,
  );
  return new Map(
    [...lines].map(([, name = '', calls, us]) => [name, { calls: Number(calls), us: Number(us) }]),
  );
}

async function writes(redis: Redis): Promise<number> {
  return Number(/total_reads_processed:(\d+)/.exec(await redis.info('stats'))?.[1]);
}

async function measure(stack: TestStack) {
  const machine = describeMachine();
  const client = createJobClient(stack.stack.url, stack.stack.apiKey);
  const redis = new Redis(stack.stack.redis.url.replace('unix://', ''));
  const run = () => client.run(BODY);
  try {
    await saturate(run, clients, WARM_UP);
    const pids = servicePids(stack);
    const cpu = () => Object.values(pids).map(cpuMs);
    const before = { cpu: cpu(), commands: await commandStats(redis), reads: await writes(redis) };
    const { samples, perSecond } = await saturate(run, clients, { ms: 600_000, jobs });
    const after = { cpu: cpu(), commands: await commandStats(redis), reads: await writes(redis) };
    const alone = new Samples();
    for (let index = 0; index < 100; index += 1) alone.add((await run()).ms);
    const cpuMsPerJob = Object.fromEntries(
      Object.keys(pids).map((name, at) => [
        name,
        ((after.cpu[at] ?? 0) - (before.cpu[at] ?? 0)) / samples.request.count,
      ]),
    );
    const commands = [...after.commands]
      .map(([name, { calls, us }]) => {
        const then = before.commands.get(name) ?? { calls: 0, us: 0 };
        const per = (value: number) => value / samples.request.count;
        return { name, callsPerJob: per(calls - then.calls), usPerJob: per(us - then.us) };
      })
      .filter(({ callsPerJob }) => callsPerJob > 0.01)
      .sort((a, b) => b.usPerJob - a.usPerJob);
    return {
      machine,
      jobs: samples.request.count,
      perSecond,
      p50Ms: samples.request.percentile(0.5),
      aloneP50Ms: alone.percentile(0.5),
      cpuMsPerJob,
      redisReadsPerJob: (after.reads - before.reads) / samples.request.count,
      commands,
    };
  } finally {
    client.close();
    redis.disconnect();
  }
}

const { NODE_OPTIONS } = process.env;
const stack = await startTestStack({
  MAYFLY_LOG_LEVEL: 'warn',
  ...(NODE_OPTIONS === undefined ? {} : { NODE_OPTIONS }),
});
try {
  const result = await measure(stack);
  if (options.json) console.log(JSON.stringify(result));
  else {
    console.log(
      `${result.perSecond.toFixed(0)} jobs/s, p50 ${result.p50Ms.toFixed(1)} ms; alone p50 ${result.aloneP50Ms.toFixed(2)} ms`,
    );
    console.table(result.cpuMsPerJob);
    console.log(`${result.redisReadsPerJob.toFixed(2)} reads of Redis per job`);
    console.table(result.commands);
  }
} finally {
  await stack.stop();
}
