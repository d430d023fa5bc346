/** Posts what is due. Each API process does; a lease keeps them off each other's attempts. */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Attempt, AttemptResult, CallbackBook } from './callback-book.js';
import type { CallbackBody } from './callback-body.js';
import { ForbiddenAddress, type CallbackPost } from './callback-post.js';
import type { Logger } from './logger.js';
import { NO_METRICS, type Metrics } from './metrics.js';
import { oneAtATime, tick } from './ticks.js';

/** For what is due again, and what another process has leased and lost; new ones are told. */
const LOOK_EVERY_MS = 1_000;
const AT_ONCE_MAX = 64;
const CLOSE_MS_MAX = 3_000;
const BACKOFF_MS = 5_000;
const BACKOFF_MS_MAX = 3_600_000;

export interface CallbackSenderOptions {
  readonly book: CallbackBook;
  readonly bodyOf: CallbackBody;
  readonly post: CallbackPost;
  readonly logger: Logger;
  readonly metrics?: Metrics;
  readonly lookEveryMs?: number;
  /** Before the second attempt; doubled with each further one, up to the second figure. */
  readonly backoffMs?: number;
  readonly backoffMsMax?: number;
}

/** At least half of it: receivers that were away together do not get everything at once. */
function backoff(attempt: number, first: number, most: number): number {
  return Math.min(first * 2 ** (attempt - 1), most) * (0.5 + Math.random() / 2);
}

function deliveryIdOf(jobId: string): string {
  return `dlv_${createHash('sha256').update(jobId).digest('hex').slice(0, 32)}`;
}

export function createCallbackSender(options: CallbackSenderOptions) {
  const { book, bodyOf, post, logger, metrics = NO_METRICS } = options;
  const { backoffMs = BACKOFF_MS, backoffMsMax = BACKOFF_MS_MAX } = options;
  const running = new Set<Promise<void>>();
  let closed = false;

  async function bodyFor(attempt: Attempt): Promise<string | null> {
    if (attempt.body !== null) return attempt.body;
    const body = await bodyOf(attempt.tenantId, attempt.jobId);
    if (body === null) return null;
    await book.storeBody(attempt, body).catch((error: unknown) => {
      logger.warn({ err: error, jobId: attempt.jobId }, 'could not keep the body of a callback');
    });
    return body;
  }

  async function attemptOnce(attempt: Attempt): Promise<AttemptResult> {
    const { jobId, url, secret } = attempt;
    const delayMs = backoff(attempt.attempt, backoffMs, backoffMsMax);
    try {
      const body = await bodyFor(attempt);
      if (body === null) return { outcome: 'failed', status: null, delayMs };
      const status = await post({ url, secret, deliveryId: deliveryIdOf(jobId), body });
      const delivered = status >= 200 && status < 300;
      metrics.count('mayfly_callbacks_total', { result: delivered ? 'delivered' : 'refused' });
      return { outcome: delivered ? 'delivered' : 'retry', status, delayMs };
    } catch (error) {
      const result = error instanceof ForbiddenAddress ? 'forbidden' : 'unreachable';
      metrics.count('mayfly_callbacks_total', { result });
      const why = error instanceof Error ? error.message : String(error);
      logger.info({ jobId, tenantId: attempt.tenantId, why }, 'callback got no answer');
      return { outcome: 'retry', status: null, delayMs };
    }
  }

  async function send(attempt: Attempt): Promise<void> {
    const { jobId, tenantId } = attempt;
    try {
      const outcome = await book.report(attempt, await attemptOnce(attempt));
      if (outcome === 'failed') logger.warn({ jobId, tenantId }, 'callback given up');
    } catch (error) {
      // The lease runs out, and it is tried again.
      logger.debug({ err: error, jobId }, 'could not report on a callback');
    }
  }

  const look = oneAtATime(async () => {
    if (closed) return;
    try {
      const room = AT_ONCE_MAX - running.size;
      const due = room > 0 ? await book.lease(room) : [];
      for (const attempt of due) {
        const sent = send(attempt).finally(() => {
          running.delete(sent);
          // Its tenant's next may have waited for it.
          void look();
        });
        running.add(sent);
      }
    } catch (error) {
      logger.debug({ err: error }, 'could not look for callbacks');
    }
  });

  const stopLooking = tick(options.lookEveryMs ?? LOOK_EVERY_MS, look);

  return {
    look,
    /** Waits a little for what is under way; the rest is tried again when its lease has run out. */
    async close(): Promise<void> {
      closed = true;
      stopLooking();
      await Promise.race([Promise.allSettled(running), sleep(CLOSE_MS_MAX, null, { ref: false })]);
    },
  };
}

export type CallbackSender = ReturnType<typeof createCallbackSender>;
