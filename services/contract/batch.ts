/** POST /v1/batches: many jobs in one request, each accepted or refused by itself. */
import { z } from 'zod';
import { jobIdSchema } from './ids.js';
import { jobRequestSchema } from './job-request.js';
import { jobStatusSchema } from './job.js';
import { problemSchema } from './problems.js';

export const BATCH_JOBS_MAX = 1_000;

const keyError = 'must be 1 to 255 printable characters';

export const idempotencyKeySchema = z
  .string({ error: keyError })
  .regex(/^[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?$/, { error: keyError });

/** What the document shows of an entry; each is validated by itself. */
export const batchRequestSchema = z.strictObject({
  jobs: z
    .array(
      jobRequestSchema.extend({
        idempotencyKey: idempotencyKeySchema
          .optional()
          .describe('As the header Idempotency-Key of a single job.'),
      }),
    )
    .min(1, { error: 'must have a job' })
    .max(BATCH_JOBS_MAX, { error: `must be at most ${BATCH_JOBS_MAX} jobs` }),
});

/** The frame alone: what is in it may be wrong entry by entry. */
export const batchFrameSchema = z.strictObject({
  jobs: z
    .array(z.unknown(), { error: 'must be an array of jobs' })
    .min(1, { error: 'must have a job' })
    .max(BATCH_JOBS_MAX, { error: `must be at most ${BATCH_JOBS_MAX} jobs` }),
});

export const batchReplySchema = z.strictObject({
  jobs: z
    .array(
      z.union([
        z.strictObject({ id: jobIdSchema, status: jobStatusSchema }),
        z.strictObject({ problem: problemSchema }),
      ]),
    )
    .describe('One for each entry, in its order.'),
});

export type BatchReply = z.infer<typeof batchReplySchema>;
