/**
 * B posts one job of 20 ms every 500 ms. A has thousands waiting and keeps posting at its rate limit. B alone and
 * B beside A take turns, so that whatever the machine does meets both.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { TestStack } from '../helpers/stack.js';
import { Samples } from './samples.js';
import { burn } from './scenarios.js';
import { createTenant, type TenantClient } from './tenants.js';

export interface Neighbour {
  readonly job: object;
  readonly queued: number;
  readonly phaseSeconds: number;
  readonly rounds: number;
}

export interface Neighbourhood {
  /** B's p95 of each round. */
  readonly aloneMs: readonly number[];
  readonly besideMs: readonly number[];
  /** Medians: how many times longer, and how much. */
  readonly times: number;
  readonly moreMs: number;
  /** Of A, by status. */
  readonly answers: Readonly<Record<string, number>>;
  /** Tasks of A that wait in the end: if there are none, the neighbour was away for a part of the time. */
  readonly left: number;
}

const POST_EVERY_MS = 500;
const FILL_AT_ONCE = 16;
/** The rate and burst of a plan that nobody changed. */
const RATE = { requestsPerSecond: 100, requestsBurst: 1_000 };
/** More than there are slots. */
const NO_CAP = 1_000;

export const median = (values: readonly number[]): number =>
  [...values].sort((x, y) => x - y)[Math.floor(values.length / 2)] ?? Number.NaN;

async function fill(a: TenantClient, job: object, count: number): Promise<void> {
  let left = count;
  const filler = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      if ((await a.post(job, 0)) === null) {
        throw new Error(`a job of A was refused while filling: ${JSON.stringify([...a.answers])}`);
      }
    }
  };
  await Promise.all(Array.from({ length: FILL_AT_ONCE }, filler));
}

async function phase(b: TenantClient, seconds: number): Promise<number> {
  const samples = new Samples();
  const posts: Promise<void>[] = [];
  const post = async (): Promise<void> => {
    const since = performance.now();
    const job = await b.post(burn(20), 60);
    if (job?.status !== 'finished') throw new Error('a job of B did not finish');
    samples.add(performance.now() - since);
  };
  const start = performance.now();
  for (let due = start; due < start + 1_000 * seconds; due += POST_EVERY_MS) {
    await sleep(Math.max(0, due - performance.now()));
    posts.push(post());
  }
  await Promise.all(posts);
  return samples.percentile(0.95);
}

/** A's cap opened and closed, past its plan. At a cap of none it is as good as absent. */
function createCap(redis: Redis, { id }: TenantClient) {
  const tenant = `{c0}:tenant:${id}`;
  return {
    async close() {
      await redis.hset(tenant, { runningMax: 0 });
      await redis.zrem('{c0}:ready:default', id);
      while (Number(await redis.hget(tenant, 'running')) > 0) await sleep(50);
    },
    open: () => redis.hset(tenant, { ...RATE, runningMax: NO_CAP }),
  };
}

async function beside(a: TenantClient, b: TenantClient, { job, phaseSeconds }: Neighbour) {
  const posting = { on: true };
  const poster = (async (): Promise<void> => {
    while (posting.on) {
      void a.post(job, 0);
      await sleep(1_000 / RATE.requestsPerSecond);
    }
  })();
  const p95Ms = await phase(b, phaseSeconds);
  posting.on = false;
  await poster;
  return p95Ms;
}

export async function measureNeighbour(
  stack: TestStack,
  neighbour: Neighbour,
): Promise<Neighbourhood> {
  const redis = new Redis({ path: stack.stack.redis.url.replace('unix://', '') });
  const [a, b] = [await createTenant(stack, 'a'), await createTenant(stack, 'b')];
  const cap = createCap(redis, a);
  // Some of them run already; with its cap closed nobody may post, for it is no cap that a plan can have.
  await fill(a, neighbour.job, neighbour.queued);
  await cap.close();
  const aloneMs: number[] = [];
  const besideMs: number[] = [];
  for (let round = 0; round < neighbour.rounds; round += 1) {
    aloneMs.push(await phase(b, neighbour.phaseSeconds));
    await cap.open();
    besideMs.push(await beside(a, b, neighbour));
    await cap.close();
  }
  const left = await redis.zcard(`{c0}:backlog:default:${a.id}`);
  redis.disconnect();
  return {
    aloneMs,
    besideMs,
    times: median(besideMs) / median(aloneMs),
    moreMs: median(besideMs) - median(aloneMs),
    answers: Object.fromEntries(a.answers),
    left,
  };
}
