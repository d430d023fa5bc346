/** The API's half of the platform, as the API's main puts it together. */
import { randomUUID } from 'node:crypto';
import { parseJobRequest, type AcceptedJob } from '../../services/contract/job-spec.js';
import { createBlobBook } from '../../services/platform/blob-book.js';
import { createJobs, type Jobs } from '../../services/platform/jobs.js';
import type { CallbackAddresses } from '../../services/platform/callback-address.js';
import { DEFAULT_CELL } from '../../services/platform/keys.js';
import { createLogger } from '../../services/platform/logger.js';
import { createMemoryGuard, type MemoryGuard } from '../../services/platform/memory-guard.js';
import { createReconciler, type Reconciler } from '../../services/platform/reconciler.js';
import { createFailFastRedis, createSubscriberRedis } from '../../services/platform/redis.js';
import { createScheduler, type Scheduler } from '../../services/platform/scheduler.js';
import { createStreams, type Streams } from '../../services/platform/streams.js';
import { eventually } from './eventually.js';
import type { Redis } from 'ioredis';

export const TENANT = 'default';

export function accepted(body: object): AcceptedJob {
  const parsed = parseJobRequest(body);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
  return parsed.job;
}

export function echo(stdin: string, more: object = {}): AcceptedJob {
  return accepted({ language: 'python', source: 'print(input())', stdin, ...more });
}

export interface Replica {
  readonly jobs: Jobs;
  readonly streams: Streams;
  readonly redis: Redis;
  readonly subscriber: Redis;
  readonly scheduler: Scheduler;
  readonly memoryGuard: MemoryGuard;
  readonly reconciler: Reconciler | null;
  close(): Promise<void>;
}

export async function startReplica(
  redisUrl: string,
  options: {
    readonly reconciles?: boolean;
    readonly recheckMs?: number;
    readonly callbackAddresses?: CallbackAddresses;
  } = {},
): Promise<Replica> {
  const logger = createLogger('test', 'silent');
  const cell = DEFAULT_CELL;
  const redis = createFailFastRedis(redisUrl, logger);
  const subscriber = createSubscriberRedis(redisUrl, logger);
  await eventually(() => redis.status === 'ready' && subscriber.status === 'ready');
  const scheduler = createScheduler({ redis, cell });
  const memoryGuard = createMemoryGuard(redis);
  const reconciler =
    options.reconciles === true ? createReconciler({ redis, cell, scheduler, logger }) : null;
  const replicaId = randomUUID();
  const streams = createStreams({
    redis,
    subscriber,
    scheduler,
    // No fake program writes so much.
    blobs: { read: () => Promise.resolve(null) },
    replicaId,
    cell,
    logger,
  });
  const jobs = createJobs({
    blobBook: createBlobBook(redis, cell, 60_000),
    redis,
    subscriber,
    scheduler,
    memoryGuard,
    replicaId,
    logger,
    ...(options.callbackAddresses && { callbackAddresses: options.callbackAddresses }),
    ...(options.recheckMs === undefined ? {} : { recheckMs: options.recheckMs }),
  });
  return {
    jobs,
    streams,
    redis,
    subscriber,
    scheduler,
    memoryGuard,
    reconciler,
    close() {
      jobs.close();
      streams.close();
      reconciler?.close();
      memoryGuard.close();
      redis.disconnect();
      subscriber.disconnect();
      return Promise.resolve();
    },
  };
}
