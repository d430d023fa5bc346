/** All that a tenant has waiting or running, ended: for one that is deleted, or suspended for good reason. */
import type { Redis } from 'ioredis';
import { createKeys, type Cell } from './keys.js';
import type { Scheduler } from './scheduler.js';

export interface TenantJobsOptions {
  readonly redis: Redis;
  readonly cell: Cell;
  readonly scheduler: Pick<Scheduler, 'cancel'>;
}

const AT_ONCE = 100;

export function createTenantJobs({ redis, cell, scheduler }: TenantJobsOptions) {
  const keys = createKeys(cell);

  async function cancelTasks(tenantId: string, taskIds: readonly string[]): Promise<void> {
    const jobs = await Promise.all(
      taskIds.map((taskId) => redis.hmget(keys.task(taskId), 'job', 'tenant')),
    );
    for (const [jobId, owner] of jobs) {
      if (typeof jobId !== 'string' || owner !== tenantId) continue;
      await scheduler.cancel(jobId, tenantId);
    }
  }

  /** Nothing new may come in any more when this is called. */
  return async function cancelAll(tenantId: string): Promise<void> {
    for (const pool of await redis.smembers(keys.pools)) {
      const backlog = keys.backlog(pool, tenantId);
      let cursor = '0';
      do {
        // What is cancelled leaves the backlog; a scan meets what was there all the time.
        const [next, flat] = await redis.zscan(backlog, cursor, 'COUNT', AT_ONCE);
        await cancelTasks(
          tenantId,
          flat.filter((_, index) => index % 2 === 0),
        );
        cursor = next;
      } while (cursor !== '0');
      const delayed = await redis.zrange(keys.delayed(pool), '0', '-1');
      await cancelTasks(tenantId, [...delayed, ...(await redis.smembers(keys.inflight(pool)))]);
    }
  };
}

export type CancelTenantJobs = ReturnType<typeof createTenantJobs>;
