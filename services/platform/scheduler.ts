/**
 * The scripts as functions. Nothing else changes the state of a task. Every one that admits
 * delivers as well, and answers with what that was.
 */
import { performance } from 'node:perf_hooks';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { Cell } from './keys.js';
import { NO_METRICS, type Metrics } from './metrics.js';
import { createScript, runScript, type Script } from './redis.js';
import { createJobScripts } from './schedule-jobs.js';
import { createRunScripts } from './schedule-runs.js';
import {
  parseDeliveries,
  type AnnounceReply,
  type Delivery,
  type Holder,
} from './script-replies.js';
import { ANNOUNCE, RECONCILE } from './scripts/announce.js';

export interface SchedulerOptions {
  readonly redis: Redis;
  readonly cell: Cell;
  /** How long an ended job can be read. */
  readonly retentionMs?: number;
  readonly metrics?: Metrics;
}

const RETENTION_MS_DEFAULT = 3_600_000;

export type ScriptArgs = readonly (string | number)[];
export type RunScript = (script: Script, args: ScriptArgs) => Promise<unknown>;

export function createScheduler(options: SchedulerOptions) {
  const { redis, cell, retentionMs = RETENTION_MS_DEFAULT } = options;
  const scripts = {
    announce: createScript(ANNOUNCE, 'announce'),
    reconcile: createScript(RECONCILE, 'reconcile'),
  };
  const { metrics = NO_METRICS } = options;
  const run: RunScript = async (script, args) => {
    const startedAt = performance.now();
    const reply = await runScript(redis, script, cell, args);
    const seconds = (performance.now() - startedAt) / 1_000;
    metrics.record('mayfly_redis_call_duration_seconds', { call: script.name }, seconds);
    return reply;
  };

  /** A heartbeat; `slots` 0 withdraws the executor. */
  async function announce(executor: {
    readonly executorId: string;
    readonly pool: string;
    readonly slots: number;
    /** Short tasks it takes before it has a slot for them. */
    readonly ahead?: number;
    readonly ttlMs: number;
    /** Names of the images it has. */
    readonly images?: readonly string[];
    readonly running: readonly Pick<Holder, 'taskId' | 'runToken'>[];
  }): Promise<AnnounceReply> {
    const { pool, executorId, slots, ttlMs, running, images = [], ahead = 0 } = executor;
    const held = running.flatMap(({ taskId, runToken }) => [taskId, runToken]);
    const reply = await run(scripts.announce, [
      pool,
      executorId,
      slots,
      ttlMs,
      images.join(','),
      ahead,
      ...held,
    ]);
    const [stop, admitted] = announceReplySchema.parse(reply);
    return {
      stop: stop.map((text) => {
        const [runToken = '', reason] = text.split(' ');
        return { runToken, reason: reason === 'cancel' ? 'cancel' : 'fenced' };
      }),
      admitted: parseDeliveries(admitted),
    };
  }

  /** Looks at windows and at due tasks, and delivers again what BullMQ has lost: that is returned. */
  async function reconcile(): Promise<Delivery[]> {
    return parseDeliveries(await run(scripts.reconcile, [retentionMs]));
  }

  return {
    ...createJobScripts(run, retentionMs),
    ...createRunScripts(run, retentionMs),
    announce,
    reconcile,
  };
}

export type Scheduler = ReturnType<typeof createScheduler>;

const announceReplySchema = z.tuple([z.array(z.string()), z.array(z.string())]);
