/** What a tenant has used by day, what its plan allows, and what is left of it. */
import { z } from 'zod';
import { planSchema } from './plan.js';

const count = z.number().int().nonnegative();
const amount = z.number().nonnegative();

export const USAGE_DAYS_MAX = 400;
export const USAGE_DAYS_DEFAULT = 30;

export const usageDaySchema = z.strictObject({
  day: z.iso.date().describe('UTC.'),
  jobs: count.describe('Jobs that ended.'),
  cpuSeconds: amount,
  slotSeconds: amount.describe('Slots held, times the CPUs of each: what shares are reckoned by.'),
  memoryByteSeconds: amount.describe("Each step's peak, times its time by the clock."),
});

export const usageReportSchema = z.strictObject({
  days: z.array(usageDaySchema).describe('Newest first; days without jobs are left out.'),
  plan: planSchema,
  left: z.strictObject({
    cpuSecondsToday: amount,
    running: count.describe('Tasks that may still be started.'),
    queued: count.describe('Tasks that may still be queued.'),
    requests: count.describe('Requests that may still be made at once.'),
  }),
});

export type UsageDay = z.infer<typeof usageDaySchema>;
