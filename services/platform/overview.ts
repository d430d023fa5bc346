/** The installation at one moment, for the operator. Reads only. */
import type { Redis } from 'ioredis';
import type { ExecutorReport, Overview } from '../contract/overview.js';
import type { Tenant } from '../contract/tenant.js';
import { refusalOf } from './errors.js';
import { createExecutorList } from './executor-reports.js';
import type { Cell } from './keys.js';
import { createQueueDepths, infoField, type PoolDepths } from './queue-metrics.js';
import { sumTallies } from './run-tally.js';

export interface Overviews {
  read(): Promise<Overview>;
  executors(): Promise<ExecutorReport[]>;
}

interface Busy {
  backlog: number;
  running: number;
}

/** Over all pools. */
function busyTenants(pools: readonly PoolDepths[]): [string, Busy][] {
  const busy = new Map<string, Busy>();
  for (const { tenant, backlog, running } of pools.flatMap(({ tenants }) => tenants)) {
    const known = busy.get(tenant) ?? { backlog: 0, running: 0 };
    busy.set(tenant, { backlog: known.backlog + backlog, running: known.running + running });
  }
  return [...busy].sort(
    ([idA, a], [idB, b]) => b.running - a.running || b.backlog - a.backlog || (idA < idB ? -1 : 1),
  );
}

export interface OverviewsOptions {
  readonly redis: Redis;
  readonly cell: Cell;
  readonly getTenant: (id: string) => Promise<Tenant | null>;
}

export function createOverviews({ redis, cell, getTenant }: OverviewsOptions): Overviews {
  const readDepths = createQueueDepths(redis, cell);
  const listExecutors = createExecutorList(redis, cell);

  async function nameTenant([id, { backlog, running }]: [string, Busy]) {
    const tenant = await getTenant(id);
    const { name = null, plan } = tenant ?? {};
    return { id, name, weight: plan?.weight ?? null, backlog, running };
  }

  async function look(): Promise<Overview> {
    const [pools, executors, info] = await Promise.all([
      readDepths(),
      listExecutors(),
      redis.info('memory'),
    ]);
    const draining = executors.filter((executor) => executor.draining).length;
    return {
      at: new Date().toISOString(),
      pools: pools
        .map(({ tenants: _tenants, ...pool }) => pool)
        .sort((a, b) => (a.pool < b.pool ? -1 : 1)),
      tenants: await Promise.all(busyTenants(pools).map(nameTenant)),
      executors: { live: executors.length - draining, draining },
      totals: sumTallies(executors.map(({ tally }) => tally)),
      redis: {
        memoryBytes: infoField(info, 'used_memory'),
        memoryBytesMax: infoField(info, 'maxmemory'),
      },
    };
  }

  const orRefuse = async <T>(read: () => Promise<T>): Promise<T> => {
    try {
      return await read();
    } catch (error) {
      throw refusalOf(error);
    }
  };
  return { read: () => orRefuse(look), executors: () => orRefuse(listExecutors) };
}
