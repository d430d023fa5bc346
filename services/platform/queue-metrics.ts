/** What only Redis knows, read when somebody looks: backlog, slots, memory. */
import { performance } from 'node:perf_hooks';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { createKeys, type Cell } from './keys.js';
import type { Metrics, MetricName, Reading } from './metrics.js';
import { createScript, runScript } from './redis.js';
import { QUEUE_DEPTHS } from './scripts/queue-depths.js';

/** Two scrapers and a dashboard look at the same numbers. */
const FRESH_MS = 1_000;

const count = z.number();
const depthsSchema = z.array(
  z.tuple([
    z.string(),
    count,
    count,
    count,
    count,
    count,
    z.array(z.tuple([z.string(), count, count])),
  ]),
);

export interface TenantDepths {
  readonly tenant: string;
  readonly backlog: number;
  readonly running: number;
}

export interface PoolDepths {
  readonly pool: string;
  readonly backlog: number;
  readonly inflight: number;
  readonly delayed: number;
  readonly slots: number;
  readonly executors: number;
  readonly tenants: readonly TenantDepths[];
}

export function createQueueDepths(redis: Redis, cell: Cell) {
  const script = createScript(QUEUE_DEPTHS, 'queue_depths');
  return async function read(): Promise<PoolDepths[]> {
    const reply = depthsSchema.parse(await runScript(redis, script, cell, []));
    return reply.map(([pool, backlog, inflight, delayed, slots, executors, tenants]) => ({
      pool,
      backlog,
      inflight,
      delayed,
      slots,
      executors,
      tenants: tenants.map(([tenant, waiting, running]) => ({ tenant, backlog: waiting, running })),
    }));
  };
}

export function infoField(info: string, name: string): number {
  return Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? 0);
}

export function observeQueue(metrics: Metrics, redis: Redis, cell: Cell): void {
  if (!metrics.enabled) return;
  const readDepths = createQueueDepths(redis, cell);
  const keys = createKeys(cell);

  async function look() {
    const started = performance.now();
    const up = await redis.ping().then(
      () => true,
      () => false,
    );
    metrics.record(
      'mayfly_redis_call_duration_seconds',
      { call: 'ping' },
      (performance.now() - started) / 1_000,
    );
    if (!up) return null;
    const [depths, info, fenced] = await Promise.all([
      readDepths(),
      redis.info('memory'),
      redis.get(keys.fenced),
    ]);
    return { depths, info, fenced: Number(fenced ?? 0) };
  }

  let last: { readonly at: number; readonly found: ReturnType<typeof look> } | null = null;
  function fresh() {
    const now = Date.now();
    if (last === null || now - last.at > FRESH_MS) last = { at: now, found: look() };
    return last.found;
  }

  const perPool =
    <N extends MetricName>(field: Exclude<keyof PoolDepths, 'pool' | 'tenants'>) =>
    async (): Promise<Reading<N>> =>
      ((await fresh())?.depths ?? []).map((depths) => [
        { pool: depths.pool } as Reading<N>[number][0],
        depths[field],
      ]);
  metrics.observe('mayfly_backlog_tasks', perPool('backlog'));
  metrics.observe('mayfly_inflight_tasks', perPool('inflight'));
  metrics.observe('mayfly_delayed_tasks', perPool('delayed'));
  metrics.observe('mayfly_slots', perPool('slots'));
  metrics.observe('mayfly_executors', perPool('executors'));
  const single =
    (read: (found: NonNullable<Awaited<ReturnType<typeof look>>>) => number) => async () => {
      const found = await fresh();
      return found === null ? [] : [[{}, read(found)] as const];
    };
  metrics.observe(
    'mayfly_fenced_total',
    single(({ fenced }) => fenced),
  );
  metrics.observe(
    'mayfly_redis_memory_bytes',
    single(({ info }) => infoField(info, 'used_memory')),
  );
  metrics.observe(
    'mayfly_redis_memory_bytes_max',
    single(({ info }) => infoField(info, 'maxmemory')),
  );
  metrics.observe('mayfly_redis_up', async () => [[{}, (await fresh()) === null ? 0 : 1]]);
}
