/**
 * Looks whether the books and BullMQ agree: executors that died leave the window, what has become due is
 * admitted, and a task in flight that BullMQ does not know is delivered again. Every process has a
 * reconciler; one is elected to look each second.
 */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { createKeys, type Cell } from './keys.js';
import type { Logger } from './logger.js';
import type { Scheduler } from './scheduler.js';
import { tick } from './ticks.js';

const LOOK_EVERY_MS = 1_000;
/** Another process takes over when the elected one has missed two looks. */
const ELECTED_MS = 2_500;

export interface ReconcilerOptions {
  readonly redis: Redis;
  readonly cell: Cell;
  readonly scheduler: Pick<Scheduler, 'reconcile'>;
  readonly logger: Logger;
}

export function createReconciler(options: ReconcilerOptions) {
  const { redis, cell, scheduler, logger } = options;
  const lock = createKeys(cell).reconciler;
  const self = randomUUID();
  let looking = false;

  /** Two that both think they are elected do no harm: delivering twice under one id is one delivery. */
  async function isElected(): Promise<boolean> {
    const holder = await redis.set(lock, self, 'PX', ELECTED_MS, 'NX', 'GET');
    if (holder === self) await redis.pexpire(lock, ELECTED_MS);
    return holder === null || holder === self;
  }

  async function look({ always }: { readonly always: boolean }): Promise<void> {
    if (looking) return;
    looking = true;
    try {
      if (always || (await isElected())) {
        const lost = await scheduler.reconcile();
        if (lost.length > 0) logger.debug({ count: lost.length }, 'delivered again');
      }
    } catch (error) {
      // Redis is away; its next `ready` starts a look of its own.
      logger.debug({ err: error }, 'could not reconcile');
    } finally {
      looking = false;
    }
  }

  const onReady = (): void => void look({ always: true });
  const stopLooking = tick(LOOK_EVERY_MS, () => look({ always: false }));
  redis.on('ready', onReady);
  onReady();

  return {
    look: () => look({ always: true }),
    close(): void {
      stopLooking();
      redis.off('ready', onReady);
    },
  };
}

export type Reconciler = ReturnType<typeof createReconciler>;
