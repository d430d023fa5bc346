/** What is to be told to whom, and when: the books of the callbacks. */
import type { Redis } from 'ioredis';
import { createScript, runScript } from './redis.js';
import type { Cell } from './keys.js';
import { parseReply } from './script-replies.js';
import { LEASE_CALLBACKS, REPORT_CALLBACK, STORE_CALLBACK_BODY } from './scripts/callbacks.js';

/** Longer than any attempt takes. */
const LEASE_MS = 60_000;
const DAY_MS = 24 * 3_600_000;
/** Of one tenant. What does not fit is made anew for each attempt, for as long as the job is there. */
const BODY_BYTES_MAX = 64 * 1024 * 1024;
const FIELDS = 6;

export interface Attempt {
  readonly jobId: string;
  readonly tenantId: string;
  readonly attempt: number;
  readonly url: string;
  readonly secret: string;
  /** Null: it was not stored. */
  readonly body: string | null;
}

export interface AttemptResult {
  readonly outcome: 'delivered' | 'retry' | 'failed';
  readonly status: number | null;
  /** Until the next attempt, if there is one. */
  readonly delayMs: number;
}

function attemptOf(fields: readonly string[]): Attempt {
  const [jobId = '', tenantId = '', attempt, url = '', secret = '', body = ''] = fields;
  return {
    jobId,
    tenantId,
    attempt: Number(attempt),
    url,
    secret,
    body: body === '' ? null : body,
  };
}

export function createCallbackBook(redis: Redis, cell: Cell) {
  const scripts = {
    lease: createScript(LEASE_CALLBACKS, 'lease_callbacks'),
    report: createScript(REPORT_CALLBACK, 'report_callback'),
    store: createScript(STORE_CALLBACK_BODY, 'store_callback_body'),
  };

  /** Attempts to make now; each has to be reported on. */
  async function lease(room: number): Promise<Attempt[]> {
    const { rest } = parseReply(await runScript(redis, scripts.lease, cell, [room, LEASE_MS]), [
      'ok',
    ]);
    const count = rest.length / FIELDS;
    return Array.from({ length: count }, (_, i) =>
      attemptOf(rest.slice(i * FIELDS, (i + 1) * FIELDS)),
    );
  }

  /** Returns what became of the callback. */
  async function report({ jobId, tenantId, attempt }: Attempt, result: AttemptResult) {
    const { outcome, status, delayMs } = result;
    const args = [jobId, tenantId, attempt, outcome, status ?? '', Math.round(delayMs), DAY_MS];
    const reply = await runScript(redis, scripts.report, cell, args);
    return parseReply(reply, ['delivered', 'retry', 'failed', 'stale']).status;
  }

  async function storeBody({ jobId, tenantId }: Attempt, body: string): Promise<void> {
    const args = [jobId, tenantId, body, BODY_BYTES_MAX];
    parseReply(await runScript(redis, scripts.store, cell, args), ['ok', 'full', 'gone']);
  }

  return { lease, report, storeBody };
}

export type CallbackBook = ReturnType<typeof createCallbackBook>;
