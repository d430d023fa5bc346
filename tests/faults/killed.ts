/** How soon what a killed executor held runs again, by box logs, the clients' ledger, and this process's clock. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Ledger } from './clients.js';
import type { World } from './world.js';

const KILLS = 4;
const LOOK_EVERY_MS = 20;
const WAIT_MS_MAX = 30_000;
/** What was announced when it died has been heard by then. */
const HEARD_MS = 100;

/** Jobs that were given a box there last, and have not ended: announcements are lost with a connection. */
async function heldBy(world: World, ledger: Ledger, index: number): Promise<string[]> {
  const [here = [], there = []] = [world.boxRuns()[index], world.boxRuns()[1 - index]];
  const elsewhere = new Set(there);
  const ids = [...new Set(here)].filter((id) => !elsewhere.has(id) && !ledger.endings.has(id));
  const statuses = await Promise.all(ids.map((id) => world.redis.hget(`{c0}:job:${id}`, 'status')));
  return ids.filter((_, at) => ['queued', 'running'].includes(statuses[at] ?? ''));
}

async function killOne(world: World, ledger: Ledger, index: number): Promise<number[]> {
  const pid = world.executors[index]?.pid();
  if (pid === null || pid === undefined) throw new Error('there is no executor to kill');
  const since = performance.now();
  process.kill(pid, 'SIGKILL');
  await sleep(HEARD_MS);
  const starts = world.boxStarts();
  let waiting = await heldBy(world, ledger, index);
  const tookMs: number[] = [];
  while (waiting.length > 0 && performance.now() - since < WAIT_MS_MAX) {
    await sleep(LOOK_EVERY_MS);
    const now = world.boxStarts();
    const again = waiting.filter((id) => (now.get(id) ?? 0) > (starts.get(id) ?? 0));
    tookMs.push(...again.map(() => Math.round(performance.now() - since)));
    waiting = waiting.filter((id) => !again.includes(id) && !ledger.endings.has(id));
  }
  return [...tookMs, ...waiting.map(() => Infinity)];
}

/** Milliseconds from the kill to the next run of each task that was held; nothing else is struck meanwhile. */
export async function killExecutors(world: World, ledger: Ledger): Promise<number[]> {
  const tookMs: number[] = [];
  for (let kill = 0; kill < KILLS; kill += 1) {
    tookMs.push(...(await killOne(world, ledger, kill % world.executors.length)));
    // It is back, and has something to do.
    await sleep(3_000);
  }
  return tookMs;
}
