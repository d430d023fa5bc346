/** Refusals the platform makes; the API answers each with the problem of that code. */
import type { Issue, ProblemCode } from '../contract/problems.js';

export type RefusalCode = Extract<
  ProblemCode,
  | 'invalid_request'
  | 'unauthenticated'
  | 'suspended'
  | 'not_found'
  | 'conflict'
  | 'idempotency_conflict'
  | 'gone'
  | 'rate_limited'
  | 'cpu_quota'
  | 'queue_full'
  | 'blobs_full'
  | 'uploads_full'
  | 'input_full'
  | 'capacity'
  | 'unavailable'
>;

interface RefusalOptions extends ErrorOptions {
  /** The fields of the request that are to blame. */
  readonly issues?: readonly Issue[];
  /** Where the table's own figure would be wrong. */
  readonly retryAfterSeconds?: number;
}

export class Refusal extends Error {
  readonly code: RefusalCode;
  readonly issues: readonly Issue[];
  readonly retryAfterSeconds: number | undefined;

  constructor(code: RefusalCode, detail: string, options: RefusalOptions = {}) {
    super(detail, options);
    this.issues = options.issues ?? [];
    this.name = 'Refusal';
    this.code = code;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

/** States of a Redis that is there but cannot be used now; they pass. */
const PASSING_REPLIES =
  /^(LOADING|BUSY|READONLY|MASTERDOWN|NOREPLICAS|CLUSTERDOWN|TRYAGAIN|MISCONF)\b/;

/** What no connection throws: a record that does not parse, a slip in the code. */
const BUGS = new Set(['ZodError', 'TypeError', 'RangeError', 'SyntaxError', 'ReferenceError']);

/**
 * What a failed Redis command means to a client. A reply that is an error is a bug of ours, unless it
 * says that Redis is full or not ready; everything else is a connection that did not hold.
 */
export function refusalOf(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof Refusal) return error;
  if (BUGS.has(error.name)) return error;
  if (error.name !== 'ReplyError') {
    return new Refusal('unavailable', 'The job store cannot be reached.', { cause: error });
  }
  if (/^OOM\b|-OOM\b/.test(error.message)) {
    return new Refusal('capacity', 'The job store is full.', { cause: error });
  }
  if (PASSING_REPLIES.test(error.message)) {
    return new Refusal('unavailable', 'The job store is not ready.', { cause: error });
  }
  return error;
}
