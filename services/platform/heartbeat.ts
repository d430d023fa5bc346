/** Announces an executor, so that its slots count, and hears which of its runs have to stop. */
import type { Logger } from './logger.js';
import type { Running } from './running.js';
import type { Scheduler } from './scheduler.js';
import { tick } from './ticks.js';

const BEAT_EVERY_MS = 1_000;
/** An executor that has missed this much is taken for dead; its leases end at about the same time. */
const ALIVE_MS = 5_000;

export interface HeartbeatOptions {
  readonly scheduler: Pick<Scheduler, 'announce'>;
  readonly running: Running;
  readonly executorId: string;
  readonly pool: string;
  readonly slots: number;
  readonly ahead: number;
  readonly images: readonly string[];
  readonly logger: Logger;
}

export function createHeartbeat(options: HeartbeatOptions) {
  const { scheduler, running, executorId, pool, images, ahead, logger } = options;
  let stopBeating: () => void = () => undefined;
  let beating = false;
  let stopped = false;

  async function announce(slots: number): Promise<void> {
    const reply = await scheduler.announce({
      executorId,
      pool,
      slots,
      ttlMs: ALIVE_MS,
      images,
      ahead,
      running: running.held(),
    });
    for (const { runToken, reason } of reply.stop) running.stop(runToken, reason);
  }

  async function beat(): Promise<void> {
    // One at a time: while Redis is away a single beat waits for it.
    if (beating || stopped) return;
    beating = true;
    try {
      await announce(options.slots);
    } catch (error) {
      logger.warn({ err: error }, 'could not announce');
    } finally {
      beating = false;
    }
  }

  return {
    beat,
    async start(): Promise<void> {
      await announce(options.slots);
      stopBeating = tick(BEAT_EVERY_MS, beat);
    },
    /** Withdraws: nothing more is admitted for this executor. */
    async stop(): Promise<void> {
      stopped = true;
      stopBeating();
      await announce(0);
    },
  };
}
