/**
 * Where an executor's tasks come from. One delivery is one run: it is claimed, handed to the handler,
 * and settled or requeued before BullMQ hears that it is done: what that admitted is in the queue by then,
 * so that BullMQ hands over the next task in the same call.
 */
import { randomUUID } from 'node:crypto';
import { availableParallelism, loadavg } from 'node:os';
import type { Redis } from 'ioredis';
import { jobIdOfTask } from '../contract/ids.js';
import { controlMessageSchema, type ReplicaMessage } from '../contract/control.js';
import { toFault } from '../contract/faults.js';
import type { ExecutorReport } from '../contract/overview.js';
import type { Task, TaskResult } from '../contract/task.js';
import { epochMs } from './clock.js';
import { createExecutorReporter } from './executor-reports.js';
import { listenTo } from './channel.js';
import { createHeartbeat } from './heartbeat.js';
import { createKeys, DEFAULT_CELL, DEFAULT_POOL, type Cell, type Keys } from './keys.js';
import { LiveRunHost, type LiveRun } from './live-run.js';
import type { Logger } from './logger.js';
import { createPatientRedis, createSubscriberRedis, inOneWrite } from './redis.js';
import { createReconciler } from './reconciler.js';
import { createRunning, type RunHandle, type Running } from './running.js';
import { createSlotGate } from './slot-gate.js';
import { createScheduler, type Scheduler } from './scheduler.js';
import type { Delivery, RequeueReply, SettleReply } from './script-replies.js';
import { createRunTally, type RunTally } from './run-tally.js';
import { createRunTelemetry, type RunObserver, type RunTelemetry } from './run-telemetry.js';
import { decodeSpec } from './stored-spec.js';
import { subscribeToTasks, type TaskSubscription } from './task-queue.js';
import { NO_TELEMETRY, type Telemetry } from './telemetry.js';
import { traceField } from './tracing.js';
import { VERSION } from './version.js';

/**
 * Runs one task. The signal is aborted when the task must stop: then the handler kills the box and
 * returns `cancelled` with what had run. It throws a SandboxFault (or anything) when it cannot run it.
 */
export type TaskRunner = (
  task: Task,
  signal: AbortSignal,
  observer: RunObserver,
  live: LiveRun,
) => Promise<TaskResult>;

export interface TaskSourceOptions {
  readonly redisUrl: string;
  readonly executorId: string;
  readonly slots: number;
  readonly logger: Logger;
  readonly pool?: string;
  /** Names of the images it has; a pool serves those that all of its executors have. */
  readonly images?: readonly string[];
  readonly cell?: Cell;
  readonly retentionMs?: number;
  readonly telemetry?: Telemetry;
}

export interface TaskSource {
  /** Announces the executor and starts taking tasks. */
  start(runner: TaskRunner): Promise<void>;
  /** Takes no more, waits for what runs, and gives back what is not done by the deadline. */
  drain(deadlineMs: number): Promise<void>;
  /** Tasks being run. */
  count(): number;
}

type Described = Required<Pick<TaskSourceOptions, 'executorId' | 'pool' | 'slots' | 'images'>>;

type FaultResult = Extract<TaskResult, { status: 'fault' }>;

interface Context {
  readonly redis: Redis;
  readonly keys: Keys;
  readonly scheduler: Scheduler;
  readonly running: Running;
  readonly executorId: string;
  readonly pool: string;
  readonly logger: Logger;
  readonly beginRun: ReturnType<typeof createRunTelemetry>;
  /** Admits what has become due. */
  readonly beat: () => Promise<void>;
  /** Whether it asks for a next task when one is done. */
  readonly asks: () => boolean;
}

/** How long an aborted handler may take to kill its box before its task is given back without it. */
const ABORT_MS_MAX = 5_000;
/** Taken before there is a slot for them, so that none stands empty while the next task is fetched. */
const aheadOf = (slots: number): number => 1 + Math.floor(slots / 2);
/** What runs turned out to be long: another executor may have a slot sooner. Twice what may be given ahead of. */
const GATE_MS_MAX = 500;
const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 2_000;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Until Redis heard it: a result is never dropped because a connection was. */
async function untilHeard<T>(logger: Logger, call: () => Promise<T>): Promise<T> {
  for (let delayMs = RETRY_MS_MIN; ; delayMs = Math.min(2 * delayMs, RETRY_MS_MAX)) {
    try {
      return await call();
    } catch (error) {
      logger.warn({ err: error }, 'could not reach the books; trying again');
      await sleep(delayMs);
    }
  }
}

async function runDelivery(
  context: Context,
  delivery: Delivery,
  runner: TaskRunner,
  giveBack: () => void,
) {
  const { redis, keys, scheduler, running, executorId, pool } = context;
  const runToken = randomUUID();
  const [claimed, spec] = await untilHeard(context.logger, () =>
    inOneWrite(redis, () =>
      Promise.all([
        scheduler.claim(delivery, runToken, executorId),
        redis.get(keys.spec(jobIdOfTask(delivery.taskId))),
      ]),
    ),
  );
  if (claimed.status !== 'go') return;
  const { jobId, tenantId, run, part } = claimed;
  const { taskId } = delivery;
  const claimedAtMs = epochMs();
  const stored = readSpec(spec);
  const telemetry = context.beginRun({
    ...claimed,
    ...{ taskId, pool, executorId, claimedAtMs },
    traceparent: 'origin' in stored ? stored.origin.traceparent : null,
  });
  const logger = context.logger.child({ jobId, taskId, run, ...traceField(telemetry) });
  const publish = (channel: string, text: string) => redis.publish(channel, text);
  const live = new LiveRunHost({ run, publish, logger });
  const handle = running.add({ jobId, taskId, runToken, run, live });
  try {
    const task = { taskId, jobId, tenantId, run, runToken, part };
    const result =
      'fault' in stored
        ? stored
        : await runTask({ ...task, spec: stored.spec }, runner, handle, telemetry);
    // Before the books say that it has ended: the rest of its output is on its way then.
    live.close();
    telemetry.ended(result);
    // Whoever waits for the slot claims first: its box is not to wait until this end is written down.
    await inOneWrite(redis, () => {
      giveBack();
      return endRun({ ...context, logger }, handle, result, telemetry);
    });
  } finally {
    running.remove(handle);
  }
}

/** A spec that cannot be read is a fault like any other: another executor may be newer. */
function readSpec(text: string | null): ReturnType<typeof decodeSpec> | FaultResult {
  try {
    return decodeSpec(text);
  } catch (error) {
    return { status: 'fault', fault: toFault(error), work: null };
  }
}

/** What the handler says, or what has to be said in its place. */
async function runTask(
  task: Task,
  runner: TaskRunner,
  handle: RunHandle,
  observer: RunObserver,
): Promise<TaskResult> {
  try {
    return await Promise.race([
      runner(task, handle.signal, observer, handle.live),
      handle.abandoned,
    ]);
  } catch (error) {
    return { status: 'fault', fault: toFault(error), work: null };
  }
}

/** Settles or requeues, by what came out and by why it was stopped. */
async function endRun(
  context: Context,
  handle: RunHandle,
  result: TaskResult,
  telemetry: RunTelemetry,
): Promise<void> {
  const { logger } = context;
  const reason = handle.stopReason();
  if (reason === 'fenced') {
    logger.warn('another executor holds this task by now');
    telemetry.settled('fenced', null);
    return;
  }
  const reply = await untilHeard(logger, () => tellEnd(context, handle, result));
  if (result.status === 'fault' && reason === null) logger.warn({ fault: result.fault }, 'fault');
  const settledAtMs = 'settledAtMs' in reply ? reply.settledAtMs : null;
  telemetry.settled(reply.status === 'ok' ? result.status : reply.status, settledAtMs);
  logger.info({ status: reply.status }, 'run ended');
  if ('delayMs' in reply) setTimeout(() => void context.beat(), reply.delayMs).unref();
}

async function tellEnd(
  { scheduler, asks }: Context,
  handle: RunHandle,
  result: TaskResult,
): Promise<SettleReply | RequeueReply> {
  const reason = handle.stopReason();
  if (result.status === 'finished') {
    const then = { next: result.next, stop: result.stop, asks: asks() };
    return await scheduler.settle(handle, 'finished', result.work, then);
  }
  if (result.status === 'cancelled' && reason === 'cancel') {
    return await scheduler.settle(handle, 'cancelled', result.work);
  }
  const excused = reason === 'drain';
  if (result.status === 'fault') {
    return await scheduler.requeue(handle, result.fault, { excused, work: result.work });
  }
  const fault = { stage: 'executor', errno: null, detail: 'stopped unasked', retryable: true };
  // Should a client have cancelled it meanwhile, this is its end, and what had run is its result.
  return await scheduler.requeue(handle, fault, { excused, work: result.work });
}

/** What it tells the operator, each time it is asked. */
function describeExecutor(
  { executorId: id, pool, slots, images }: Described,
  { running, tally }: { readonly running: Running; readonly tally: RunTally },
) {
  const startedAt = new Date().toISOString();
  return (draining: boolean): ExecutorReport => ({
    id,
    pool,
    version: VERSION,
    draining,
    slots,
    busySlots: running.count(),
    images: [...images],
    cpus: availableParallelism(),
    load: loadavg()[0] ?? 0,
    startedAt,
    tally: tally.read(),
  });
}

export function createTaskSource(options: TaskSourceOptions): TaskSource {
  const { redisUrl, executorId, slots, pool = DEFAULT_POOL, cell = DEFAULT_CELL } = options;
  const logger = options.logger.child({ executorId });
  const redis = createPatientRedis(redisUrl, logger);
  const { retentionMs, telemetry = NO_TELEMETRY } = options;
  const scheduler = createScheduler({
    redis,
    cell,
    ...(retentionMs === undefined ? {} : { retentionMs }),
    metrics: telemetry.metrics,
  });
  const queue = { redisUrl, cell, pool, logger };
  const running = createRunning();
  const ahead = aheadOf(slots);
  let draining = false;
  const keys = createKeys(cell);
  const gate = createSlotGate(slots, GATE_MS_MAX);
  telemetry.metrics.observe('mayfly_busy_slots', () => [[{}, gate.taken()]]);
  const tally = createRunTally();
  const beginRun = createRunTelemetry(telemetry, tally);
  const books = { redis, keys, scheduler, running, executorId, pool, logger, beginRun };
  const { images = [] } = options;
  const heartbeat = createHeartbeat({ ...books, slots, images, ahead });
  const context = { ...books, beat: heartbeat.beat, asks: () => !draining };
  const control = listenForControl(createSubscriberRedis(redisUrl, logger), context);
  const reconciler = createReconciler({ redis, cell, scheduler, logger });
  let subscription: TaskSubscription | null = null;
  const tell = describeExecutor({ ...options, pool, images }, { running, tally });
  const read = () => tell(draining);
  const reporter = createExecutorReporter({ redis, keys, logger, read });
  let stopped: Promise<void> | null = null;

  async function start(runner: TaskRunner): Promise<void> {
    await heartbeat.start();
    reporter.start();
    subscription = subscribeToTasks(queue, slots + 2 * ahead, async (delivery, turn) => {
      // Handed over while we stopped taking: it stays in flight, and the reconciler delivers it again.
      if (draining) return;
      // If there is no slot in time, what runs is long after all: delivered again, to whoever has one first.
      await gate.enter(turn, (giveBack) => runDelivery(context, delivery, runner, giveBack));
    });
  }

  async function stop(deadlineMs: number): Promise<void> {
    draining = true;
    void reporter.tell();
    gate.close();
    reconciler.close();
    await subscription?.pause();
    await Promise.race([heartbeat.stop(), sleep(Math.min(deadlineMs, RETRY_MS_MAX))]);
    await Promise.race([running.idle(), sleep(deadlineMs)]);
    running.stopAll('drain');
    await Promise.race([running.idle(), sleep(ABORT_MS_MAX)]);
    running.abandonAll();
    await Promise.race([running.idle(), sleep(RETRY_MS_MAX)]);
    await Promise.race([reporter.stop(), sleep(RETRY_MS_MAX)]);
    await subscription?.close();
    control.disconnect();
    redis.disconnect();
  }

  return {
    start,
    drain: (deadlineMs) => (stopped ??= stop(deadlineMs)),
    count: running.count,
  };
}

/** A cancel is told at once; one that is missed comes with the next heartbeat's answer. */
function listenForControl(subscriber: Redis, context: Context): Redis {
  const { keys, executorId, logger } = context;
  const take = (text: string): void => takeControl(context, text);
  const channel = keys.control(executorId);
  listenTo({ subscriber, channel, logger, take, onHeard: context.beat });
  return subscriber;
}

function takeControl({ running, redis, logger }: Context, text: string): void {
  const message = controlMessageSchema.parse(JSON.parse(text));
  if (running.take(message) || message.kind !== 'act') return;
  const reply: ReplicaMessage = { kind: 'reply', id: message.id, refusal: 'not_running' };
  redis.publish(message.channel, JSON.stringify(reply)).catch((error: unknown) => {
    logger.debug({ err: error }, 'an answer was not sent');
  });
}
