/** Plays a shape of load on a stack: per tenant the wait, the whole request, the rate, and the share of slot time. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { TestStack } from '../helpers/stack.js';
import { Samples } from './samples.js';
import type { Actor } from './scenarios.js';
import { createTenant, type TenantClient } from './tenants.js';

/** Of the stack that it is played on. */
export const SLOTS = 2;

interface Playing {
  readonly actor: Actor;
  readonly client: TenantClient;
  readonly wait: Samples;
  readonly request: Samples;
  posted: number;
}

interface Clock {
  measuring: boolean;
  over: boolean;
}

const WAIT_SECONDS = 60;
const FILL_AT_ONCE = 32;

async function fill({ actor, client }: Playing): Promise<void> {
  let left = actor.queued ?? 0;
  const filler = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await client.post(actor.job, 0);
    }
  };
  await Promise.all(Array.from({ length: FILL_AT_ONCE }, filler));
}

async function one(playing: Playing, clock: Clock): Promise<void> {
  const { actor, client } = playing;
  const since = performance.now();
  const measured = clock.measuring;
  playing.posted += 1;
  const job = await client.post(actor.job, WAIT_SECONDS);
  if (job === null) {
    await sleep(50);
    return;
  }
  if (!measured || clock.over) return;
  playing.wait.add(job.timings.queuedMs);
  playing.request.add(performance.now() - since);
}

async function play(playing: Playing, clock: Clock): Promise<void> {
  const { actor } = playing;
  const running: Promise<void>[] = [];
  const mayPost = (): boolean => !clock.over && playing.posted < (actor.jobsMax ?? Infinity);
  const client = async (): Promise<void> => {
    while (mayPost()) await one(playing, clock);
  };
  for (let i = 0; i < (actor.clients ?? 0); i += 1) running.push(client());
  if (actor.everyMs !== undefined) {
    for (let dueMs = performance.now(); mayPost(); dueMs += actor.everyMs) {
      await sleep(Math.max(0, dueMs - performance.now()));
      running.push(one(playing, clock));
    }
  }
  // Whoever waits longer than the run is not waited for.
  await Promise.race([Promise.all(running), untilOver(clock)]);
}

async function untilOver(clock: Clock): Promise<void> {
  while (!clock.over) await sleep(50);
}

async function slotMs(redis: Redis, all: readonly Playing[]): Promise<number[]> {
  const read = all.map(({ client }) => redis.hget(`{c0}:tenant:${client.id}`, 'slotMs'));
  return (await Promise.all(read)).map((text) => Number(text ?? 0));
}

export const rounded = (value: number): number => Math.round(value * 100) / 100;

function percentiles(samples: Samples) {
  const of = (share: number): number => rounded(samples.percentile(share));
  return { p50Ms: of(0.5), p95Ms: of(0.95), p99Ms: of(0.99) };
}

export async function playScenario(
  stack: TestStack,
  actors: readonly Actor[],
  seconds: number,
  warmUp: number,
) {
  const redis = new Redis({ path: stack.stack.redis.url.replace('unix://', '') });
  const all: Playing[] = [];
  for (const actor of actors) {
    const client = await createTenant(stack, actor.name, { weight: actor.weight ?? 1 });
    all.push({ actor, client, wait: new Samples(), request: new Samples(), posted: 0 });
  }
  for (const playing of all) await fill(playing);
  const clock: Clock = { measuring: warmUp === 0, over: false };
  const playing = all.map((each) => play(each, clock));
  await sleep(warmUp * 1_000);
  clock.measuring = true;
  const before = await slotMs(redis, all);
  const since = performance.now();
  await sleep(seconds * 1_000);
  const after = await slotMs(redis, all);
  const elapsedMs = performance.now() - since;
  clock.over = true;
  await Promise.race([Promise.all(playing), sleep(5_000)]);
  redis.disconnect();
  const used = after.map((ms, i) => ms - (before[i] ?? 0));
  const total = used.reduce((sum, ms) => sum + ms, 0);
  return {
    slotShareOfAll: rounded(total / (SLOTS * elapsedMs)),
    tenants: all.map(({ actor, client, wait, request }, i) => ({
      name: actor.name,
      weight: actor.weight ?? 1,
      jobs: request.count,
      perSecond: rounded((1_000 * request.count) / elapsedMs),
      slotShare: (used[i] ?? 0) / Math.max(total, 1),
      wait: percentiles(wait),
      request: percentiles(request),
      answers: Object.fromEntries(client.answers),
    })),
  };
}
