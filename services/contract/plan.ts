/**
 * The one table of what a tenant may do. The admin API, the CLI's options, what is stored and what the
 * scheduler's scripts read are all derived from it. Every figure is finite: a plan caps everything.
 */
import { z } from 'zod';
import { limitsRequestSchema } from './limits.js';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const HOUR_MS = 3_600_000;

interface PlanField {
  readonly schema: z.ZodType;
  readonly default: unknown;
  readonly description: string;
}

function whole(min: number, max: number) {
  const error = `must be a whole number from ${min} to ${max}`;
  return z.number({ error }).int({ error }).min(min, { error }).max(max, { error });
}

function decimal(min: number, max: number) {
  const error = `must be a number from ${min} to ${max}`;
  return z.number({ error }).min(min, { error }).max(max, { error });
}

function names(pattern: RegExp, what: string) {
  const error = `must be the name of ${what}`;
  return z.array(z.string({ error }).regex(pattern, { error })).max(64);
}

export const PLAN = {
  weight: {
    schema: decimal(0.01, 1_000),
    default: 1,
    description: 'Share of the slots while others wait as well: 3 gets three times what 1 gets.',
  },
  runningMax: {
    schema: whole(1, 100_000),
    default: 1_000,
    description: 'Tasks that run at the same time.',
  },
  queuedMax: {
    schema: whole(1, 1_000_000),
    default: 50_000,
    description: 'Tasks that wait at the same time.',
  },
  queuedBytesMax: {
    schema: whole(MIB, 1_024 * GIB),
    default: 128 * MIB,
    description: 'Bytes of jobs that have not ended.',
  },
  requestsPerSecond: {
    schema: decimal(0.1, 100_000),
    default: 100,
    description: 'Requests to the API, on average. A batch counts as its jobs.',
  },
  requestsBurst: {
    schema: whole(1, 1_000_000),
    default: 1_000,
    description: 'Requests that may come at once after a pause.',
  },
  limitMaxima: {
    schema: limitsRequestSchema(),
    default: {},
    description: 'The most a job may ask for; what is not named keeps the maximum of the service.',
  },
  limitDefaults: {
    schema: limitsRequestSchema(),
    default: {},
    description: 'What a job gets that names no limit, unless its language says otherwise.',
  },
  images: {
    schema: names(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'an image').nullable(),
    default: null,
    description: 'Images that may be used, also by way of a language; null: all of them.',
  },
  pools: {
    schema: names(/^[a-z0-9-]{1,32}$/, 'a pool').min(1, { error: 'must name a pool' }),
    default: ['default'],
    description: 'Pools of executors that may be used; the first is the usual one.',
  },
  retentionMs: {
    schema: whole(1_000, 30 * 24 * HOUR_MS),
    default: HOUR_MS,
    description: 'How long an ended job can be read.',
  },
  jobsKept: {
    schema: whole(1, 1_000_000),
    default: 10_000,
    description: 'Ended jobs that are kept; beyond that the oldest go early.',
  },
  bytesKept: {
    schema: whole(MIB, 1_024 * GIB),
    default: 256 * MIB,
    description: 'Bytes of ended jobs that are kept; beyond that the oldest go early.',
  },
  blobBytesMax: {
    schema: whole(0, 1_024 * GIB),
    default: GIB,
    description: 'Bytes of uploaded files.',
  },
  cpuSecondsPerDay: {
    schema: decimal(0.001, 100_000_000),
    default: 1_000_000,
    description: 'CPU time of all jobs of a day (UTC); beyond that new jobs are refused.',
  },
} as const satisfies Record<string, PlanField>;

export type PlanFieldName = keyof typeof PLAN;
export type Plan = { [K in PlanFieldName]: z.output<(typeof PLAN)[K]['schema']> };
export type PlanChanges = { [K in PlanFieldName]?: Plan[K] | undefined };

export const PLAN_FIELDS = Object.keys(PLAN) as readonly PlanFieldName[];

type PlanShape = { [K in PlanFieldName]: (typeof PLAN)[K]['schema'] };
type PlanChangesShape = { [K in PlanFieldName]: z.ZodOptional<(typeof PLAN)[K]['schema']> };

function shapeOf(fieldOf: (field: PlanField) => z.ZodType): Record<string, z.ZodType> {
  return Object.fromEntries(
    PLAN_FIELDS.map((name) => [name, fieldOf(PLAN[name]).describe(PLAN[name].description)]),
  );
}

export const planSchema = z.strictObject(shapeOf((field) => field.schema) as PlanShape);

/** Any subset, to change a plan by. */
export const planChangesSchema = z.strictObject(
  shapeOf((field) => field.schema.optional()) as PlanChangesShape,
);

export const PLAN_DEFAULTS: Plan = planSchema.parse(
  Object.fromEntries(PLAN_FIELDS.map((name) => [name, PLAN[name].default])),
);

/** The tenant of MAYFLY_API_KEY is often the only one, with the whole service to itself. */
export const DEFAULT_TENANT_PLAN: Plan = {
  ...PLAN_DEFAULTS,
  requestsPerSecond: 10_000,
  requestsBurst: 20_000,
};

/** What of a plan a job request is held to. */
export type PlanOfRequests = Pick<Plan, 'limitMaxima' | 'limitDefaults' | 'images'>;
