/** The one table of problems: every way a request can be refused (RFC 9457). */
import { z } from 'zod';

export interface ProblemDefinition {
  readonly status: number;
  readonly title: string;
  /** Sent as Retry-After. */
  readonly retryAfterSeconds?: number;
}

export const PROBLEMS = {
  invalid_request: { status: 400, title: 'The request does not match the schema.' },
  invalid_json: { status: 400, title: 'The body is not valid JSON.' },
  unauthenticated: { status: 401, title: 'The API key is missing or unknown.' },
  suspended: { status: 403, title: 'This tenant is suspended.' },
  not_found: { status: 404, title: 'There is nothing here.' },
  method_not_allowed: { status: 405, title: 'This resource does not know that method.' },
  conflict: { status: 409, title: 'The state of what is there does not allow this.' },
  idempotency_conflict: {
    status: 409,
    title: 'This idempotency key was used with another body.',
  },
  gone: { status: 410, title: 'It was here, and its time is over.' },
  payload_too_large: { status: 413, title: 'The body is larger than the limit.' },
  length_required: { status: 411, title: 'The request has to say how long its body is.' },
  range_not_satisfiable: { status: 416, title: 'There are no such bytes.' },
  wrong_content: { status: 422, title: 'The body is not what was announced.' },
  blobs_full: { status: 413, title: 'The blobs of this tenant take all the room of its plan.' },
  uploads_full: {
    status: 429,
    title: 'Too many uploads of this tenant at the same time.',
    retryAfterSeconds: 2,
  },
  unsupported_media_type: { status: 415, title: 'The body has to be application/json in UTF-8.' },
  upgrade_required: { status: 426, title: 'This resource speaks WebSocket only.' },
  rate_limited: { status: 429, title: 'Too many requests.', retryAfterSeconds: 1 },
  cpu_quota: {
    status: 429,
    title: 'The CPU time of this day is used up.',
    retryAfterSeconds: 60,
  },
  queue_full: {
    status: 429,
    title: 'Too many jobs of this tenant are waiting.',
    retryAfterSeconds: 5,
  },
  input_full: {
    status: 429,
    title: 'The program has not read what it was given before.',
    retryAfterSeconds: 1,
  },
  capacity: {
    status: 503,
    title: 'The service takes no new work at the moment.',
    retryAfterSeconds: 10,
  },
  unavailable: {
    status: 503,
    title: 'The service cannot be reached at the moment.',
    retryAfterSeconds: 2,
  },
  internal: { status: 500, title: 'Unexpected failure.' },
} as const satisfies Record<string, ProblemDefinition>;

export type ProblemCode = keyof typeof PROBLEMS;

export const PROBLEM_CODES = Object.keys(PROBLEMS) as [ProblemCode, ...ProblemCode[]];

export const issueSchema = z.strictObject({ path: z.string(), message: z.string() });

export type Issue = z.infer<typeof issueSchema>;

export const problemSchema = z.strictObject({
  type: z.string(),
  title: z.string(),
  status: z.number().int(),
  code: z.enum(PROBLEM_CODES),
  detail: z.string(),
  issues: z.array(issueSchema).optional(),
  requestId: z.string(),
});

export type Problem = z.infer<typeof problemSchema>;
