/** /v1/jobs: submit, read, cancel. */
import { z } from 'zod';
import { jobIdSchema } from '../contract/ids.js';
import { idempotencyKeySchema } from '../contract/batch.js';
import {
  HEAVY_PARTS,
  isFinal,
  JOB_STATUSES,
  jobSchema,
  jobSummarySchema,
  type HeavyPart,
  type Job,
} from '../contract/job.js';
import { jobRequestSchema } from '../contract/job-request.js';
import { parseJobRequest } from '../contract/job-spec.js';
import { Refusal } from '../platform/errors.js';
import type { ListJobs } from '../platform/job-list.js';
import type { Jobs } from '../platform/jobs.js';
import { callerOf, route, type Reply, type Route } from './route.js';
import { idempotencyOf, type SubmitJob } from './submit-job.js';

const MS_PER_SECOND = 1_000;
const WAIT_SECONDS_MAX = 60;
const PAGE_JOBS_DEFAULT = 50;
const PAGE_JOBS_MAX = 100;
/** A killed box is gone in milliseconds; this is for an executor that does not answer. */
const CANCEL_WAIT_SECONDS = 30;

const waitError = `must be from 0 to ${WAIT_SECONDS_MAX} seconds`;
const waitSchema = z
  .string({ error: waitError })
  .regex(/^\d{1,3}(\.\d{1,3})?$/, { error: waitError })
  .transform(Number)
  .pipe(z.number().max(WAIT_SECONDS_MAX, { error: waitError }))
  .optional();

const includeSchema = z
  .string({ error: 'must be given once' })
  .transform((text) => (text === '' ? [] : text.split(',')))
  .pipe(z.array(z.enum(HEAVY_PARTS, { error: `must be of ${HEAVY_PARTS.join(', ')}` })))
  .optional()
  .transform((parts): HeavyPart[] | undefined => parts);

const limitError = `must be from 1 to ${PAGE_JOBS_MAX}`;
const limitSchema = z
  .string({ error: limitError })
  .regex(/^\d{1,3}$/, { error: limitError })
  .transform(Number)
  .pipe(z.number().min(1, { error: limitError }).max(PAGE_JOBS_MAX, { error: limitError }))
  .optional();

const jobPageSchema = z.strictObject({
  jobs: z.array(jobSummarySchema),
  nextCursor: z
    .string()
    .nullable()
    .describe('For the next page, which may be short; null: there is none.'),
});

export const idParams = z.strictObject({ id: jobIdSchema });

export interface JobsRoutesDeps {
  readonly jobs: Jobs;
  readonly submitJob: SubmitJob;
  readonly listJobs: ListJobs;
}

function jobReply(job: Job): Reply {
  return {
    status: isFinal(job.status) ? 200 : 202,
    body: job,
    headers: { Location: `/v1/jobs/${job.id}` },
  };
}

const responses = {
  200: { description: 'The job, which has ended.', schema: jobSchema },
  202: { description: 'The job so far.', schema: jobSchema },
};

function listRoute(listJobs: ListJobs): Route {
  return route({
    method: 'get',
    path: '/v1/jobs',
    operationId: 'listJobs',
    summary: 'Jobs, newest first, in pages.',
    query: z.strictObject({
      status: z.enum(JOB_STATUSES, { error: `must be of ${JOB_STATUSES.join(', ')}` }).optional(),
      limit: limitSchema,
      cursor: z.string({ error: 'must be given once' }).max(200).optional(),
    }),
    responses: { 200: { description: 'A page of jobs.', schema: jobPageSchema } },
    handle: async ({ tenantId, query }) => ({
      status: 200,
      body: await listJobs(tenantId, { ...query, limit: query.limit ?? PAGE_JOBS_DEFAULT }),
    }),
  });
}

export function createJobsRoutes({ jobs, submitJob, listJobs }: JobsRoutesDeps): Route[] {
  return [
    route({
      method: 'post',
      path: '/v1/jobs',
      operationId: 'submitJob',
      summary: 'Submit a job; with wait, its result comes in the same answer.',
      query: z.strictObject({ wait: waitSchema }),
      body: {
        schema: jobRequestSchema,
        parse: (given, request) => {
          const parsed = parseJobRequest(given, callerOf(request).plan);
          return parsed.ok ? { ok: true, job: { accepted: parsed.job, given } } : parsed;
        },
      },
      headers: { 'Idempotency-Key': idempotencyKeySchema.optional() },
      responses,
      async handle({ caller, query, body, header, bindJob, trace }) {
        const waitMs = (query.wait ?? 0) * MS_PER_SECOND;
        const idempotency = idempotencyOf(header('Idempotency-Key'), body.given);
        const options = { waitMs, idempotency, trace };
        const { job, replayed } = await submitJob(caller, body.accepted, options);
        bindJob(job.id);
        const reply = jobReply(job);
        if (!replayed) return reply;
        return { ...reply, headers: { ...reply.headers, 'Idempotent-Replay': 'true' } };
      },
    }),
    listRoute(listJobs),
    route({
      method: 'get',
      path: '/v1/jobs/{id}',
      operationId: 'getJob',
      summary: 'Read a job; with wait, once it has ended or the time is over.',
      params: idParams,
      query: z.strictObject({ wait: waitSchema, include: includeSchema }),
      responses: { 200: { description: 'The job.', schema: jobSchema } },
      async handle({ tenantId, params, query, bindJob }) {
        bindJob(params.id);
        const { wait = 0, include } = query;
        const job = await jobs.get(tenantId, params.id, { waitMs: wait * 1_000, include });
        if (job === null) throw new Refusal('not_found', 'No such job.');
        return { ...jobReply(job), status: 200 };
      },
    }),
    route({
      method: 'delete',
      path: '/v1/jobs/{id}',
      operationId: 'cancelJob',
      summary: 'Cancel a job: a queued one never starts, a running one is killed.',
      params: idParams,
      query: z.strictObject({ wait: waitSchema }),
      responses,
      async handle({ tenantId, params, query, bindJob }) {
        bindJob(params.id);
        const waitMs = (query.wait ?? CANCEL_WAIT_SECONDS) * 1_000;
        return jobReply(await jobs.cancel(tenantId, params.id, waitMs));
      },
    }),
  ];
}
