/** Every kind of strike: what it does to the world, and how it is over. Resolves when it is healed. */
import { execFileSync } from 'node:child_process';
import { readFileSync, statfsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { DISK_BYTES, type World } from './world.js';

/** What the stack's Redis is started with. */
const REDIS_BYTES_MAX = '512mb';

export type Random = () => number;

/** mulberry32: a strike schedule is its seed. */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function pick<T>(random: Random, items: readonly T[]): T {
  const item = items[Math.floor(random() * items.length)];
  if (item === undefined) throw new Error('nothing to pick from');
  return item;
}

function signal(pid: number | null, name: NodeJS.Signals): boolean {
  if (pid === null) return false;
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}

async function freeze(pid: number | null, ms: number): Promise<void> {
  if (!signal(pid, 'SIGSTOP')) return;
  await sleep(ms);
  signal(pid, 'SIGCONT');
}

function supervisorOf(executor: number | null): number | null {
  if (executor === null) return null;
  try {
    const children = readFileSync(`/proc/${executor}/task/${executor}/children`, 'utf8');
    const pids = children.trim().split(' ').map(Number);
    const isSupervisor = (pid: number): boolean =>
      readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('mayfly-super');
    return pids.find((pid) => pid > 0 && isSupervisor(pid)) ?? null;
  } catch {
    return null;
  }
}

/** Nothing more can be written; the same disk has room again afterwards. */
async function fillDisk({ diskDir }: World): Promise<void> {
  const resize = (bytes: number): void => {
    execFileSync('mount', ['-o', `remount,size=${bytes}`, diskDir], { stdio: 'ignore' });
  };
  // What is in use grows meanwhile, and a disk cannot be made smaller than that.
  for (let spare = 16_384; spare < DISK_BYTES; spare *= 4) {
    const { blocks, bfree, bsize } = statfsSync(diskDir);
    try {
      resize((blocks - bfree) * bsize + spare);
      break;
    } catch {
      continue;
    }
  }
  await sleep(1_500);
  resize(DISK_BYTES);
}

/** From outside: Redis refuses whatever needs memory and does not insist. */
async function fillRedis({ redis }: World): Promise<void> {
  const used = /used_memory:(\d+)/.exec(await redis.info('memory'))?.[1] ?? '0';
  await redis.config('SET', 'maxmemory', String(Math.max(1, Number(used) - 1_000_000)));
  await sleep(1_500);
  await redis.config('SET', 'maxmemory', REDIS_BYTES_MAX);
}

async function jumpClock({ clock }: World, random: Random): Promise<void> {
  clock.set(pick(random, [3_600, -3_600, 30, -30]));
  await sleep(4_000);
  clock.set(0);
}

export const STRIKES: Readonly<Record<string, (world: World, random: Random) => Promise<void>>> = {
  'executor killed': async (world, random) => {
    signal(pick(random, world.executors).pid(), 'SIGKILL');
    await sleep(500);
  },
  // Longer than its leases.
  'executor frozen': (world, random) => freeze(pick(random, world.executors).pid(), 6_500),
  'supervisor killed': async (world, random) => {
    signal(supervisorOf(pick(random, world.executors).pid()), 'SIGKILL');
    await sleep(300);
  },
  'supervisor frozen': (world, random) =>
    freeze(supervisorOf(pick(random, world.executors).pid()), 1_500),
  'api killed': async (world, random) => {
    signal(pick(random, world.apis).pid(), 'SIGKILL');
    await sleep(300);
  },
  'api frozen': (world, random) => freeze(pick(random, world.apis).pid(), 3_000),
  'redis killed': async (world) => {
    signal(world.stack.redis.pid(), 'SIGKILL');
    await sleep(1_000);
  },
  'redis frozen': (world) => freeze(world.stack.redis.pid(), 1_500),
  'replies dropped': (world) => world.proxy.dropReplies(400),
  'disk full': fillDisk,
  'redis full': fillRedis,
  'clock jumped': jumpClock,
};
