/** What has to be there for a job to be run; each check says by itself what is missing. */
import type { Redis } from 'ioredis';
import { createKeys, type Cell } from './keys.js';

export const CHECKS = ['redis', 'executors'] as const;
export type Check = (typeof CHECKS)[number];
export type Readiness = Record<Check, 'ok' | 'failed'>;

export function createReadiness(redis: Redis, cell: Cell) {
  const keys = createKeys(cell);

  return async function check(): Promise<Readiness> {
    try {
      const [seconds] = await redis.time();
      const pools = await redis.smembers(keys.pools);
      // By Redis' clock, which is the one the heartbeats are booked by.
      const now = Number(seconds) * 1_000;
      const alive = await Promise.all(
        pools.map((pool) => redis.zcount(keys.executors(pool), now, '+inf')),
      );
      return { redis: 'ok', executors: alive.some((count) => count > 0) ? 'ok' : 'failed' };
    } catch {
      // Whatever it was, Redis did not answer; of the executors nothing is known then.
      return { redis: 'failed', executors: 'failed' };
    }
  };
}

export type CheckReadiness = ReturnType<typeof createReadiness>;
