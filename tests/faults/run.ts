/** Load, strikes by a seeded schedule, and then the books: inside, and the clients' own. */
import { setTimeout as sleep } from 'node:timers/promises';
import { readBooks, violations } from '../helpers/books.js';
import { readJob, startClients } from './clients.js';
import { killExecutors } from './killed.js';
import { pick, seeded, STRIKES } from './strikes.js';
import { startWorld, type World } from './world.js';

export interface FaultsOptions {
  readonly seed: number;
  readonly strikesOfEach: number;
  readonly jobsWaiting: number;
  readonly ms: number;
  readonly slots: number;
}

export interface FaultsReport {
  readonly seed: number;
  readonly accepted: number;
  readonly refused: Readonly<Record<string, number>>;
  readonly strikes: Readonly<Record<string, number>>;
  readonly lost: readonly string[];
  readonly wrong: readonly string[];
  readonly endedTwice: readonly string[];
  readonly ranAgain: number;
  /** From the kill of an executor to the next run of what it held, with nothing else struck. */
  readonly againAfterKillMs: readonly number[];
  readonly neverInABox: number;
  readonly violations: readonly string[];
  readonly inflight: number;
  readonly running: number;
  readonly drainMs: number;
}

/** An executor that was frozen or killed last is itself again. */
const CALM_MS = 10_000;
const DRAIN_MS_MAX = 240_000;

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map((item) => ({ item, key: random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}

/** Strikes in rounds of all kinds, spread over the time; a slow one may still last when the next comes. */
async function strike(world: World, options: FaultsOptions): Promise<Record<string, number>> {
  const random = seeded(options.seed);
  const kinds = Object.keys(STRIKES);
  const pauseMs = options.ms / (kinds.length * options.strikesOfEach);
  const done: Record<string, number> = {};
  const lasting: Promise<void>[] = [];
  for (let round = 0; round < options.strikesOfEach; round += 1) {
    for (const kind of shuffled(kinds, random)) {
      done[kind] = (done[kind] ?? 0) + 1;
      lasting.push(STRIKES[kind]?.(world, random) ?? Promise.resolve());
      await sleep(pauseMs * (0.5 + random()));
    }
  }
  await Promise.all(lasting);
  return done;
}

/** Everything that was accepted comes to an end by itself. */
async function drained({ redis }: World): Promise<number> {
  const since = performance.now();
  while (performance.now() - since < DRAIN_MS_MAX) {
    const left = await Promise.all([
      redis.zcard('{c0}:backlog:default:default'),
      redis.zcard('{c0}:delayed:default'),
      redis.scard('{c0}:inflight:default'),
    ]);
    if (left.every((count) => count === 0)) break;
    await sleep(200);
  }
  return performance.now() - since;
}

export async function runFaults(options: FaultsOptions): Promise<FaultsReport> {
  const world = await startWorld(options.slots);
  try {
    // So that every end can still be read when it is over.
    await readJob(world, `job_${'a'.repeat(26)}`);
    await world.redis.hset('{c0}:tenant:default', { jobsKept: 1_000_000, bytesKept: 1e12 });
    const ledger = await startClients(world, options.jobsWaiting);
    const strikes = await strike(world, options);
    await sleep(CALM_MS);
    const againAfterKillMs = await killExecutors(world, ledger);
    await ledger.stop();
    const drainMs = await drained(world);
    const lost: string[] = [];
    const wrong: string[] = [];
    const first = new Map<string, string>();
    for (const [id, expected] of ledger.accepted) {
      const job = await readJob(world, id);
      if (job === null) lost.push(id);
      else if (job.status !== 'finished' || job.run?.stdout !== expected) {
        wrong.push(`${id} ${job.status} ${job.problem?.detail ?? ''} ${job.run?.outcome ?? ''}`);
      } else first.set(id, JSON.stringify(job));
    }
    // Whoever was frozen may still want to say something.
    await sleep(1_000);
    const changed = [];
    const random = seeded(options.seed);
    const ids = [...first.keys()];
    for (let i = 0; i < Math.min(500, ids.length); i += 1) {
      const id = pick(random, ids);
      if (JSON.stringify(await readJob(world, id)) !== first.get(id)) changed.push(id);
    }
    const books = await readBooks(world.redis);
    const starts = world.boxStarts();
    return {
      seed: options.seed,
      accepted: ledger.accepted.size,
      refused: Object.fromEntries(ledger.refused),
      strikes,
      lost,
      wrong,
      endedTwice: [
        ...changed,
        ...[...ledger.endings].filter(([, count]) => count > 1).map(([id]) => id),
      ],
      ranAgain: [...starts.values()].filter((count) => count > 1).length,
      neverInABox: ids.filter((id) => !starts.has(id)).length,
      againAfterKillMs: [...againAfterKillMs].sort((a, b) => a - b),
      violations: violations(books),
      inflight: books.inflight.size,
      running: [...books.running.values()].reduce((sum, count) => sum + count, 0),
      drainMs: Math.round(drainMs),
    };
  } catch (error) {
    throw new Error(`seed ${options.seed}; ${world.log().slice(-3_000)}`, { cause: error });
  } finally {
    await world.stop();
  }
}
