/** What is done to a job that runs: freeze, thaw, other limits, input, signals. */
import { z } from 'zod';
import {
  INPUT_BYTES_MAX,
  LIVE_LIMITS,
  signalNameSchema,
  type Action,
  type LiveLimits,
} from '../contract/control.js';
import { jobSchema } from '../contract/job.js';
import { LIMIT_MAXIMA, limitsRequestSchema, mapLimits } from '../contract/limits.js';
import { PLAN_DEFAULTS, type Plan } from '../contract/plan.js';
import { Refusal } from '../platform/errors.js';
import type { Jobs } from '../platform/jobs.js';
import type { Streams } from '../platform/streams.js';
import { idParams } from './jobs-routes.js';
import { bodyOf, callerOf, route, type Reply, type Route } from './route.js';

export interface ControlRoutesDeps {
  readonly jobs: Jobs;
  readonly streams: Pick<Streams, 'act'>;
}

const jobResponses = { 200: { description: 'The job.', schema: jobSchema } };
const done = z.strictObject({ bytes: z.number().int(), closed: z.boolean() });

/** Of the limits, those of a job that runs; within the maxima of the plan. */
function liveLimitsSchema({ limitMaxima }: Pick<Plan, 'limitMaxima'>) {
  const names = Object.fromEntries(LIVE_LIMITS.map((name) => [name, true] as const));
  return limitsRequestSchema(mapLimits((name) => limitMaxima[name] ?? LIMIT_MAXIMA[name]))
    .pick(names as Record<(typeof LIVE_LIMITS)[number], true>)
    .refine((limits) => Object.keys(limits).length > 0, { error: 'must name a limit' });
}

const closeQuery = z.strictObject({
  close: z
    .enum(['', 'true', 'false'], { error: 'must be true or false' })
    .optional()
    .transform((text) => text === '' || text === 'true'),
});

function stdinRoute(streams: Pick<Streams, 'act'>): Route {
  return route({
    method: 'post',
    path: '/v1/jobs/{id}/stdin',
    operationId: 'writeJobStdin',
    summary:
      `Bytes for an interactive job to read, at most ${INPUT_BYTES_MAX} at once; with close, the last. ` +
      '429 while the program has not read what it was given before.',
    params: idParams,
    query: closeQuery,
    rawBodyBytesMax: INPUT_BYTES_MAX,
    responses: { 200: { description: 'All of them were taken.', schema: done } },
    async handle({ tenantId, params, query, rawBody, bindJob }) {
      bindJob(params.id);
      const { close: last } = query;
      const action = { kind: 'input', data: rawBody.toString('base64'), last } as const;
      await streams.act(tenantId, params.id, action);
      return { status: 200, body: { bytes: rawBody.length, closed: last } };
    },
  });
}

export function createControlRoutes({ jobs, streams }: ControlRoutesDeps): Route[] {
  async function jobAfter(tenantId: string, jobId: string, action: Action): Promise<Reply> {
    await streams.act(tenantId, jobId, action);
    const job = await jobs.get(tenantId, jobId, { waitMs: 0 });
    if (job === null) throw new Refusal('not_found', 'The job has expired.');
    return { status: 200, body: job };
  }

  const toggle = (kind: 'freeze' | 'thaw', summary: string): Route =>
    route({
      method: 'post',
      path: `/v1/jobs/{id}/${kind}`,
      operationId: `${kind}Job`,
      summary,
      params: idParams,
      responses: jobResponses,
      async handle({ tenantId, params, bindJob }) {
        bindJob(params.id);
        return await jobAfter(tenantId, params.id, { kind });
      },
    });

  return [
    toggle('freeze', 'Suspend a running job. It keeps its slot; its wall time stands still.'),
    toggle('thaw', 'Let a frozen job go on.'),
    route({
      method: 'patch',
      path: '/v1/jobs/{id}/limits',
      operationId: 'changeJobLimits',
      summary: 'Change limits of the step that runs.',
      params: idParams,
      body: {
        schema: liveLimitsSchema(PLAN_DEFAULTS),
        parse: (body, request) => bodyOf(liveLimitsSchema(callerOf(request).plan)).parse(body),
      },
      responses: jobResponses,
      async handle({ tenantId, params, body, bindJob }) {
        bindJob(params.id);
        const limits: LiveLimits = body;
        return await jobAfter(tenantId, params.id, { kind: 'limits', limits });
      },
    }),
    stdinRoute(streams),
    route({
      method: 'post',
      path: '/v1/jobs/{id}/signal',
      operationId: 'signalJob',
      summary: 'Send a signal to the foreground process group of a running job.',
      params: idParams,
      body: bodyOf(z.strictObject({ signal: signalNameSchema })),
      responses: jobResponses,
      async handle({ tenantId, params, body, bindJob }) {
        bindJob(params.id);
        return await jobAfter(tenantId, params.id, { kind: 'signal', signal: body.signal });
      },
    }),
  ];
}
