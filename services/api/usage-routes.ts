/** /v1/usage: what the caller's tenant has used, and what is left. */
import { z } from 'zod';
import { USAGE_DAYS_DEFAULT, USAGE_DAYS_MAX, usageReportSchema } from '../contract/usage.js';
import type { UsageReader } from '../platform/usage.js';
import { route, type Route } from './route.js';

const daysError = `must be from 1 to ${USAGE_DAYS_MAX}`;
const daysSchema = z
  .string({ error: daysError })
  .regex(/^\d{1,3}$/, { error: daysError })
  .transform(Number)
  .pipe(z.number().min(1, { error: daysError }).max(USAGE_DAYS_MAX, { error: daysError }))
  .optional();

export function createUsageRoutes(usage: UsageReader): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/usage',
      operationId: 'getUsage',
      summary: 'What this tenant has used by day, its plan, and what is left of it.',
      query: z.strictObject({ days: daysSchema }),
      responses: { 200: { description: 'The usage.', schema: usageReportSchema } },
      async handle({ caller, query }) {
        const { tenantId, plan, cpuMsToday, rate } = caller;
        const [days, inUse] = await Promise.all([
          usage.days(tenantId, query.days ?? USAGE_DAYS_DEFAULT),
          usage.inUse(tenantId),
        ]);
        const left = {
          cpuSecondsToday: Math.max(0, plan.cpuSecondsPerDay - cpuMsToday / 1_000),
          running: Math.max(0, plan.runningMax - inUse.running),
          queued: Math.max(0, plan.queuedMax - inUse.queued),
          requests: rate.remaining,
        };
        return { status: 200, body: { days, plan, left } };
      },
    }),
  ];
}
