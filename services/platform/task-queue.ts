/**
 * BullMQ, behind two functions: this, and `deliver` of the scheduler's scripts (scripts/deliver.ts). It
 * carries admitted tasks to executors with leases and takes back what a dead one held; what a task is, and
 * whether it may run, only those scripts know. The queue is never longer than the slots and what is given
 * ahead of them, a task's only datum in it is its turn, and its state answers no client.
 */
import { Worker } from 'bullmq';
import { createKeys, type Cell } from './keys.js';
import type { Logger } from './logger.js';
import { patientRedisOptions } from './redis.js';
import type { Delivery } from './script-replies.js';

/** A lease of 5 s looked at every 2 s: the tasks of a killed executor run again within 7 s. */
const LOCK_MS = 5_000;
const LOCK_RENEW_MS = 2_000;
const STALLED_CHECK_MS = 2_000;

/** At BullMQ's default a task that stalled twice is failed without our code ever seeing it. */
const STALLED_COUNT_MAX = 1_000_000_000;

/** Closing waits for a Redis that may be gone; the leases end by themselves anyhow. */
const CLOSE_MS_MAX = 3_000;

export interface TaskQueueOptions {
  readonly redisUrl: string;
  readonly cell: Cell;
  readonly pool: string;
  readonly logger: Logger;
}

export interface TaskSubscription {
  /** Takes no more; what was handed out goes on. */
  pause(): Promise<void>;
  close(): Promise<void>;
}

/** Those that wait for a slot have it in the order of their turns. */
export type TaskHandler = (delivery: Delivery, turn: number) => Promise<void>;

/**
 * One worker per slot. A worker of many slots looks for a second task before it starts the first, and
 * every task would wait for that trip. The first worker looks after the leases of all.
 */
export function subscribeToTasks(
  options: TaskQueueOptions,
  slots: number,
  handler: TaskHandler,
): TaskSubscription {
  const workers = Array.from({ length: slots }, (_, slot) => startWorker(options, slot, handler));
  return {
    pause: async () => {
      await Promise.all(workers.map((worker) => worker.pause(true)));
    },
    close: () => within(CLOSE_MS_MAX, Promise.all(workers.map((worker) => worker.close()))),
  };
}

function startWorker(options: TaskQueueOptions, slot: number, handler: TaskHandler): Worker {
  const { redisUrl, cell, logger, pool } = options;
  const keys = createKeys(cell);
  const worker = new Worker<{ readonly turn?: number }>(
    keys.queue(pool),
    async (job) => {
      const [taskId, admission] = (job.id ?? '').split('.');
      if (taskId === undefined || admission === undefined) throw new Error('not a delivery');
      // What was delivered before an upgrade has none, and has waited longest.
      await handler({ pool, taskId, admission: Number(admission) }, job.data.turn ?? 0);
    },
    {
      connection: patientRedisOptions(redisUrl),
      prefix: keys.queuePrefix,
      concurrency: 1,
      lockDuration: LOCK_MS,
      lockRenewTime: LOCK_RENEW_MS,
      stalledInterval: STALLED_CHECK_MS,
      skipStalledCheck: slot > 0,
      maxStalledCount: STALLED_COUNT_MAX,
      removeOnComplete: { count: 0 },
      removeOnFail: { count: 0 },
    },
  );
  worker.on('error', (error) => logger.warn({ err: error }, 'worker error'));
  worker.on('failed', (job, error) => logger.error({ err: error, id: job?.id }, 'delivery failed'));
  return worker;
}

async function within(limitMs: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs);
  });
  try {
    await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
}
