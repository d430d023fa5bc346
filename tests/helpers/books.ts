/** Reads the scheduler's keys whole, and says what does not add up. */
import type { Redis } from 'ioredis';
import { taskIdOf } from '../../services/contract/ids.js';
import { createKeys, DEFAULT_CELL, type Cell } from '../../services/platform/keys.js';

export interface JobBooks {
  readonly status: string;
  readonly fate: string | null;
  /** Tasks that are not over, by the record; null once the job has ended. */
  readonly open: number | null;
  readonly tasks: number;
  readonly parallel: number;
  readonly pending: number;
  readonly hasSpec: boolean;
}

export interface PoolBooks {
  readonly inflight: ReadonlySet<string>;
  readonly backlog: ReadonlySet<string>;
  readonly delayed: ReadonlySet<string>;
  readonly ready: readonly { readonly tenant: string; readonly score: number }[];
  readonly window: number;
}

/** Sets over all pools, and each pool by itself. */
export interface Books extends PoolBooks {
  readonly pools: ReadonlyMap<string, PoolBooks>;
  readonly states: ReadonlyMap<string, string>;
  readonly running: ReadonlyMap<string, number>;
  readonly capped: ReadonlySet<string>;
  readonly vr: ReadonlyMap<string, number>;
  readonly jobs: ReadonlyMap<string, JobBooks>;
}

const ENDED = ['finished', 'failed', 'cancelled'];

async function readPool(redis: Redis, cell: Cell, pool: string): Promise<PoolBooks> {
  const keys = createKeys(cell);
  const backlog: string[] = [];
  for (const key of await redis.keys(keys.backlog(pool, '*'))) {
    backlog.push(...(await redis.zrange(key, '0', '-1')));
  }
  const flat = await redis.zrange(keys.ready(pool), '0', '-1', 'WITHSCORES');
  return {
    inflight: new Set(await redis.smembers(keys.inflight(pool))),
    backlog: new Set(backlog),
    delayed: new Set(await redis.zrange(keys.delayed(pool), '0', '-1')),
    ready: flat.flatMap((tenant, i) =>
      i % 2 === 0 ? [{ tenant, score: Number(flat[i + 1]) }] : [],
    ),
    window: Number((await redis.get(keys.window(pool))) ?? 0),
  };
}

async function readJob(redis: Redis, cell: Cell, jobId: string): Promise<JobBooks> {
  const keys = createKeys(cell);
  const fields = ['status', 'fate', 'open', 'tasks', 'parallel'] as const;
  const [status, fate, open, tasks, parallel] = await redis.hmget(keys.job(jobId), ...fields);
  return {
    status: status ?? '',
    fate: fate ?? null,
    open: open === null || open === undefined ? null : Number(open),
    tasks: Number(tasks ?? 0),
    parallel: Number(parallel ?? 1),
    pending: await redis.llen(keys.pending(jobId)),
    hasSpec: (await redis.exists(keys.spec(jobId))) === 1,
  };
}

export async function readBooks(redis: Redis, cell: Cell = DEFAULT_CELL): Promise<Books> {
  const keys = createKeys(cell);
  const pools = new Map<string, PoolBooks>();
  for (const pool of await redis.smembers(keys.pools)) {
    pools.set(pool, await readPool(redis, cell, pool));
  }
  const running = new Map<string, number>();
  const vr = new Map<string, number>();
  const capped = new Set<string>();
  for (const key of await redis.keys(keys.tenant('*'))) {
    const tenant = key.slice(keys.tenant('').length);
    const [count, cap, runtime] = await redis.hmget(key, 'running', 'runningMax', 'vr');
    running.set(tenant, Number(count ?? 0));
    vr.set(tenant, Number(runtime ?? 0));
    if (Number(count ?? 0) >= Number(cap ?? 1e9)) capped.add(tenant);
  }
  const states = new Map<string, string>();
  for (const key of await redis.keys(keys.task('*'))) {
    const state = await redis.hget(key, 'state');
    // One that is over may be forgotten between the two looks; what still has a place is missed there.
    if (state !== null) states.set(key.slice(keys.task('').length), state);
  }
  const jobs = new Map<string, JobBooks>();
  for (const key of await redis.keys(keys.job('*'))) {
    const jobId = key.slice(keys.job('').length);
    jobs.set(jobId, await readJob(redis, cell, jobId));
  }
  const all = [...pools.values()];
  const union = (of: (pool: PoolBooks) => ReadonlySet<string>) =>
    new Set(all.flatMap((pool) => [...of(pool)]));
  return {
    pools,
    inflight: union(({ inflight }) => inflight),
    backlog: union(({ backlog }) => backlog),
    delayed: union(({ delayed }) => delayed),
    ready: all.flatMap(({ ready }) => ready),
    window: all.reduce((sum, { window }) => sum + window, 0),
    states,
    running,
    capped,
    vr,
    jobs,
  };
}

/** The invariants of the schedule, as sentences about what breaks them. */
export function violations(books: Books): string[] {
  return [...taskViolations(books), ...jobViolations(books), ...slotViolations(books)];
}

/** A task is in exactly one of backlog, inflight and terminal. */
function taskViolations({ inflight, backlog, delayed, states }: Books): string[] {
  const found: string[] = [];
  for (const [taskId, state] of states) {
    const places = [
      backlog.has(taskId) ? ['backlog'] : [],
      delayed.has(taskId) ? ['backlog'] : [],
      inflight.has(taskId) ? ['inflight'] : [],
      state === 'terminal' ? ['terminal'] : [],
    ].flat();
    const expected = state === 'admitted' || state === 'running' ? 'inflight' : state;
    if (places.length !== 1 || places[0] !== expected) {
      found.push(`${taskId} is ${state}, and in ${places.join(' and ') || 'nothing'}`);
    }
  }
  for (const taskId of [...inflight, ...backlog, ...delayed]) {
    if (!states.has(taskId)) found.push(`${taskId} has no record`);
  }
  return found;
}

/** A job is open as long as a task of it is; and what has ended has nothing left. */
function jobViolations({ jobs, states }: Books): string[] {
  const found: string[] = [];
  for (const [jobId, job] of jobs) {
    const ended = ENDED.includes(job.status);
    const prefix = taskIdOf(jobId, 1).replace(/1$/, '');
    const live = [...states].filter(
      ([taskId, state]) => taskId.startsWith(prefix) && state !== 'terminal',
    ).length;
    if (live !== (job.open ?? 0)) found.push(`${jobId} has ${live} tasks, and ${job.open} open`);
    if (ended !== (live === 0)) found.push(`${jobId} is ${job.status} with ${live} tasks`);
    if (ended === job.hasSpec) found.push(`${jobId} is ${job.status}; its spec: ${job.hasSpec}`);
    if (job.pending > 0 && (ended || job.fate !== null || live < job.parallel)) {
      found.push(`${jobId} has ${job.pending} parts pending beside ${live} tasks`);
    }
  }
  return found;
}

/** |inflight| is the sum of what tenants run; no slot is free while a task may have it. */
function slotViolations(books: Books): string[] {
  const found: string[] = [];
  const sum = [...books.running.values()].reduce((total, count) => total + count, 0);
  if (sum !== books.inflight.size) {
    found.push(`${books.inflight.size} in flight, tenants run ${sum}`);
  }
  for (const [pool, { inflight, window, ready }] of books.pools) {
    if (ready.length > 0 && inflight.size < window) {
      found.push(`${window - inflight.size} slots of ${pool} are free while tenants are ready`);
    }
    for (const { tenant } of ready) {
      if (books.capped.has(tenant)) found.push(`${tenant} is ready, and at its cap`);
    }
  }
  return found;
}
