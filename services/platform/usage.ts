/** Reads a tenant's books: what the scripts have billed by day, and what is in use now. */
import type { Redis } from 'ioredis';
import type { UsageDay } from '../contract/usage.js';
import { refusalOf } from './errors.js';
import { createKeys, type Cell } from './keys.js';

const MS_PER_DAY = 86_400_000;
const MS_PER_SECOND = 1_000;

export interface InUse {
  readonly running: number;
  readonly queued: number;
}

function parseDay(day: number, fields: readonly (string | null)[]): UsageDay {
  const [jobs = 0, cpuMs = 0, slotMs = 0, memoryByteMs = 0] = fields.map((text) =>
    Math.max(0, Number(text ?? 0)),
  );
  return {
    day: new Date(day * MS_PER_DAY).toISOString().slice(0, 10),
    jobs: Math.round(jobs),
    cpuSeconds: cpuMs / MS_PER_SECOND,
    slotSeconds: slotMs / MS_PER_SECOND,
    memoryByteSeconds: memoryByteMs / MS_PER_SECOND,
  };
}

export function createUsage({ redis, cell }: { readonly redis: Redis; readonly cell: Cell }) {
  const keys = createKeys(cell);

  /** The last days that have anything, newest first. */
  async function days(tenantId: string, count: number, now = Date.now()): Promise<UsageDay[]> {
    const today = Math.floor(now / MS_PER_DAY);
    const numbers = Array.from({ length: count }, (_, back) => today - back);
    const found = await Promise.all(
      numbers.map((day) =>
        redis.hmget(keys.usage(tenantId, day), 'jobs', 'cpuMs', 'slotMs', 'memoryByteMs'),
      ),
    ).catch((error: unknown) => {
      throw refusalOf(error);
    });
    return numbers.flatMap((day, index) => {
      const fields = found[index] ?? [];
      return fields.every((text) => text === null) ? [] : [parseDay(day, fields)];
    });
  }

  async function inUse(tenantId: string): Promise<InUse> {
    try {
      const [running, pools] = await Promise.all([
        redis.hget(keys.tenant(tenantId), 'running'),
        redis.smembers(keys.pools),
      ]);
      const queued = await Promise.all(
        pools.map((pool) => redis.zcard(keys.backlog(pool, tenantId))),
      );
      return { running: Number(running ?? 0), queued: queued.reduce((sum, n) => sum + n, 0) };
    } catch (error) {
      throw refusalOf(error);
    }
  }

  return { days, inUse };
}

export type UsageReader = ReturnType<typeof createUsage>;
