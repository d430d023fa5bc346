/** /healthz: this process answers. /readyz: a job would be run; it names what is missing. */
import { z } from 'zod';
import { CHECKS, type CheckReadiness } from '../platform/readiness.js';
import { route, type Route } from './route.js';

const RETRY_AFTER_SECONDS = 2;

const readinessSchema = z.strictObject({
  status: z.enum(['ready', 'not_ready']),
  checks: z.record(z.enum(CHECKS), z.enum(['ok', 'failed'])),
});

export function createHealthRoutes(checkReadiness: CheckReadiness): Route[] {
  return [
    route({
      method: 'get',
      path: '/healthz',
      operationId: 'health',
      summary: 'This process answers.',
      responses: {
        200: { description: 'It does.', schema: z.strictObject({ status: z.literal('ok') }) },
      },
      handle: () => Promise.resolve({ status: 200, body: { status: 'ok' } }),
    }),
    route({
      method: 'get',
      path: '/readyz',
      operationId: 'readiness',
      summary: 'Everything is there that a job needs; or which check failed.',
      responses: {
        200: { description: 'Ready.', schema: readinessSchema },
        503: { description: 'Not ready.', schema: readinessSchema },
      },
      async handle() {
        const checks = await checkReadiness();
        const ready = CHECKS.every((check) => checks[check] === 'ok');
        if (ready) return { status: 200, body: { status: 'ready', checks } };
        const headers = { 'Retry-After': String(RETRY_AFTER_SECONDS) };
        return { status: 503, body: { status: 'not_ready', checks }, headers };
      },
    }),
  ];
}
