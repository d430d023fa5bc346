/**
 * Refuses new work while Redis is nearly full. A full Redis refuses every write; what is settled then
 * still gets through (those scripts may exceed it), but only if something was kept free for it.
 */
import type { Redis } from 'ioredis';
import { tick } from './ticks.js';

const USED_SHARE_MAX = 0.7;
const LOOK_EVERY_MS = 1_000;

function field(info: string, name: string): number {
  const value = new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1];
  return value === undefined ? 0 : Number(value);
}

export function createMemoryGuard(redis: Redis, lookEveryMs = LOOK_EVERY_MS) {
  let full = false;

  async function look(): Promise<void> {
    try {
      const info = await redis.info('memory');
      const max = field(info, 'maxmemory');
      full = max > 0 && field(info, 'used_memory') > USED_SHARE_MAX * max;
    } catch {
      // Without Redis there is no submission to refuse either; the last answer stands until the next.
    }
  }

  const close = tick(lookEveryMs, look);
  void look();

  return {
    isFull: () => full,
    look,
    close,
  };
}

export type MemoryGuard = ReturnType<typeof createMemoryGuard>;
