/**
 * `npm run simulate [-- --tenants N --seconds N --svg FILE]`: many tenants with different weights and task
 * lengths, all of them always waiting, over the real scripts on a Redis of its own. Time is the scripts' own,
 * so tasks are a few milliseconds long; what is plotted is each tenant's share of slot time over its share of the weights.
 */
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Delivery } from '../../services/platform/script-replies.js';
import { startRedis } from '../helpers/redis.js';
import { createSchedule } from '../helpers/schedule.js';
import { plotShares, type Share } from './plot.js';

const WEIGHTS = [1, 2, 3, 5, 8];
const LENGTHS_MS = [2, 5, 10, 20];
const SLOTS = 16;
/** So that a backlog never runs dry. */
const WAITING = 12;

async function simulate(tenants: number, seconds: number): Promise<Share[]> {
  const redis = await startRedis(['--appendonly', 'no']);
  try {
    const schedule = createSchedule(redis.client);
    const all = Array.from({ length: tenants }, (_, i) => ({
      name: `t${i}`,
      weight: WEIGHTS[i % WEIGHTS.length] ?? 1,
      lengthMs: LENGTHS_MS[Math.floor(i / WEIGHTS.length) % LENGTHS_MS.length] ?? 1,
    }));
    const byJob = new Map<string, (typeof all)[number]>();
    const submit = async (tenant: (typeof all)[number]): Promise<readonly Delivery[]> => {
      const { jobId, admitted } = await schedule.submit(tenant.name);
      byJob.set(jobId, tenant);
      return admitted;
    };
    for (const tenant of all) {
      await redis.client.hset(`{c0}:tenant:${tenant.name}`, {
        weight: tenant.weight,
        jobsKept: 1,
        queuedMax: 1_000,
      });
      for (let i = 0; i < WAITING; i += 1) await submit(tenant);
    }
    let over = false;
    const queue: Delivery[] = [...(await schedule.announce(SLOTS)).admitted];
    const slot = async (): Promise<void> => {
      while (!over) {
        const delivery = queue.shift();
        if (delivery === undefined) {
          await sleep(1);
          continue;
        }
        const run = await schedule.start(delivery);
        const tenant = byJob.get(run.jobId);
        if (tenant === undefined) throw new Error(`${run.jobId} is nobody's`);
        byJob.delete(run.jobId);
        await sleep(tenant.lengthMs);
        queue.push(...(await submit(tenant)));
        queue.push(...(await schedule.scheduler.settle(run, 'finished', null)).admitted);
      }
    };
    const slots = Array.from({ length: SLOTS }, slot);
    const read = async (): Promise<number[]> =>
      await Promise.all(
        all.map(async ({ name }) =>
          Number((await redis.client.hget(`{c0}:tenant:${name}`, 'slotMs')) ?? 0),
        ),
      );
    await sleep(seconds * 300);
    const before = await read();
    await sleep(seconds * 1_000);
    const after = await read();
    over = true;
    await Promise.all(slots);
    const used = after.map((ms, i) => ms - (before[i] ?? 0));
    const total = used.reduce((sum, ms) => sum + ms, 0);
    const weights = all.reduce((sum, { weight }) => sum + weight, 0);
    return all.map(({ name, weight, lengthMs }, i) => ({
      name,
      weight,
      lengthMs,
      due: weight / weights,
      had: (used[i] ?? 0) / total,
    }));
  } finally {
    await redis.stop();
  }
}

const { values } = parseArgs({
  options: {
    tenants: { type: 'string', default: '100' },
    seconds: { type: 'string', default: '30' },
    svg: { type: 'string', default: 'dist/shares.svg' },
  },
});
const shares = await simulate(Number(values.tenants), Number(values.seconds));
const deviations = shares.map(({ due, had }) => Math.abs(had / due - 1)).sort((a, b) => a - b);
const percent = (share: number | undefined): string => `${(100 * (share ?? NaN)).toFixed(2)} %`;
writeFileSync(values.svg, plotShares(shares));
process.stdout.write(
  `${shares.length} tenants, weights ${WEIGHTS.join(', ')}, tasks of ${LENGTHS_MS.join(', ')} ms, ${SLOTS} slots, ${values.seconds} s\n` +
    `share over what is due: median deviation ${percent(deviations[Math.floor(deviations.length / 2)])}, ` +
    `largest ${percent(deviations.at(-1))}\n${values.svg}\n`,
);
process.exit(0);
