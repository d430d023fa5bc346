/** /v1/batches: up to a thousand jobs in one request. */
import {
  batchFrameSchema,
  batchReplySchema,
  batchRequestSchema,
  idempotencyKeySchema,
  type BatchReply,
} from '../contract/batch.js';
import { parseJobRequest } from '../contract/job-spec.js';
import type { AccessControl, Caller } from '../platform/access.js';
import type { Trace } from '../platform/tracing.js';
import { invalidRequest, problemOf } from './problems.js';
import { bodyOf, route, type Route } from './route.js';
import { idempotencyOf, type SubmitJob } from './submit-job.js';

/** Sent to Redis together; enough to hide the round trips, few enough to let others in between. */
const AT_ONCE = 50;

type Entry = BatchReply['jobs'][number];

/** The job, and the key that lies in it. */
function splitEntry(entry: unknown): { readonly body: unknown; readonly key: unknown } {
  if (typeof entry !== 'object' || entry === null || !('idempotencyKey' in entry)) {
    return { body: entry, key: undefined };
  }
  const { idempotencyKey: key, ...body } = entry;
  return { body, key };
}

async function submitEntry(
  submitJob: SubmitJob,
  caller: Caller,
  trace: Trace,
  entry: unknown,
): Promise<Entry> {
  const { body, key } = splitEntry(entry);
  const parsedKey = idempotencyKeySchema.optional().safeParse(key);
  if (!parsedKey.success) {
    const message = parsedKey.error.issues[0]?.message ?? 'is not allowed';
    throw invalidRequest([{ path: 'idempotencyKey', message }]);
  }
  const parsed = parseJobRequest(body, caller.plan);
  if (!parsed.ok) throw invalidRequest(parsed.issues);
  const idempotency = idempotencyOf(parsedKey.data, body);
  const { job } = await submitJob(caller, parsed.job, { waitMs: 0, idempotency, trace });
  return { id: job.id, status: job.status };
}

export function createBatchesRoutes(
  submitJob: SubmitJob,
  access: Pick<AccessControl, 'spend'>,
): Route[] {
  return [
    route({
      method: 'post',
      path: '/v1/batches',
      operationId: 'submitBatch',
      summary: 'Submit many jobs; each is accepted or refused by itself.',
      body: { ...bodyOf(batchFrameSchema), schema: batchRequestSchema },
      responses: { 207: { description: 'What became of each.', schema: batchReplySchema } },
      async handle({ caller, body, requestId, trace }) {
        access.spend(caller.tenantId, body.jobs.length - 1);
        const jobs: Entry[] = [];
        for (let from = 0; from < body.jobs.length; from += AT_ONCE) {
          const entries = body.jobs.slice(from, from + AT_ONCE).map((entry) =>
            submitEntry(submitJob, caller, trace, entry).catch((error: unknown) => ({
              problem: problemOf(error, requestId),
            })),
          );
          jobs.push(...(await Promise.all(entries)));
        }
        return { status: 207, body: { jobs } };
      },
    }),
  ];
}
