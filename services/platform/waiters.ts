/**
 * Waits for jobs to end. The end is announced on this replica's channel, but an announcement alone is
 * never trusted: after every (re)subscription all waiting ids are read, and each again every 15 s.
 */
import type { Redis } from 'ioredis';
import { listenTo } from './channel.js';
import { Refusal } from './errors.js';
import type { Logger } from './logger.js';

/** Long enough to cost nothing, short enough for whoever was unlucky. */
const RECHECK_MS = 15_000;
/** Each costs some memory, and a share of every recheck. */
const WAITERS_MAX = 20_000;

export interface Waiter {
  /**
   * Resolves when the job has ended, when time is up, or when the service stops; to what the announcement
   * told beside the id, or to null.
   */
  ended(limitMs: number): Promise<string | null>;
  release(): void;
}

type Resolve = (told: string | null) => void;

export interface WaitersOptions {
  readonly subscriber: Redis;
  readonly channel: string;
  /** Of these jobs, the ones there is nothing more to wait for. */
  readonly readEnded: (jobIds: readonly string[]) => Promise<readonly string[]>;
  readonly logger: Logger;
  readonly recheckMs?: number;
  readonly waitersMax?: number;
}

async function atMost<T>(limitMs: number, signal: Promise<T>): Promise<T | null> {
  let limit: NodeJS.Timeout | undefined;
  const timeUp = new Promise<null>((resolve) => {
    limit = setTimeout(resolve, limitMs, null);
  });
  const value = await Promise.race([signal, timeUp]);
  clearTimeout(limit);
  return value;
}

export function createWaiters(options: WaitersOptions) {
  const {
    subscriber,
    channel,
    readEnded,
    logger,
    recheckMs = RECHECK_MS,
    waitersMax = WAITERS_MAX,
  } = options;
  const waiting = new Map<string, Set<Resolve>>();
  let closed = false;
  let count = 0;

  function wake(jobId: string, told: string | null = null): void {
    for (const resolve of waiting.get(jobId) ?? []) resolve(told);
  }

  async function recheck(): Promise<void> {
    if (waiting.size === 0) return;
    try {
      for (const jobId of await readEnded([...waiting.keys()])) wake(jobId);
    } catch (error) {
      logger.warn({ err: error }, 'could not read the jobs that are waited for');
    }
  }

  listenTo({
    subscriber,
    channel,
    logger,
    take(message) {
      const end = message.indexOf(' ');
      if (end < 0) wake(message);
      else wake(message.slice(0, end), message.slice(end + 1));
    },
    onHeard: recheck,
  });
  const timer = setInterval(() => void recheck(), recheckMs);
  timer.unref();

  /** Registers. Whoever waits registers first and reads or submits then. */
  function register(jobId: string): Waiter {
    if (count >= waitersMax) throw new Refusal('capacity', 'Too many requests wait for jobs.');
    count += 1;
    let resolveEnded: Resolve = () => undefined;
    const signal = new Promise<string | null>((resolve) => {
      resolveEnded = resolve;
    });
    const resolvers = waiting.get(jobId) ?? new Set();
    resolvers.add(resolveEnded);
    waiting.set(jobId, resolvers);
    if (closed) resolveEnded(null);
    return {
      ended: (limitMs) => atMost(limitMs, signal),
      release() {
        if (!resolvers.delete(resolveEnded)) return;
        count -= 1;
        if (resolvers.size === 0 && waiting.get(jobId) === resolvers) waiting.delete(jobId);
      },
    };
  }

  /** Lets everybody go with what there is. */
  function close(): void {
    closed = true;
    clearInterval(timer);
    for (const jobId of waiting.keys()) wake(jobId);
  }

  return { register, close, count: () => waiting.size };
}

export type Waiters = ReturnType<typeof createWaiters>;
