/** What an executor receives and what it returns. A task is what is admitted, charged and delivered. */
import { z } from 'zod';
import { faultSchema } from './faults.js';
import { testPlanSchema } from './judging.js';
import { jobSpecSchema } from './job-spec.js';
import {
  collectedFileSchema,
  compileResultSchema,
  namedStepResultSchema,
  omittedFileSchema,
  stepResultSchema,
  streamSchema,
  testResultSchema,
} from './job.js';

const testIndex = z.number().int().nonnegative();

/** What of a job a task is: all of it, or for a judge job its compilation or a slice of its tests. */
export const taskPartSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('whole') }),
  z.strictObject({ kind: z.literal('compile') }),
  z.strictObject({
    kind: z.literal('tests'),
    from: testIndex,
    to: testIndex.describe('Exclusive.'),
  }),
]);

export type TaskPart = z.infer<typeof taskPartSchema>;

export const WHOLE: TaskPart = { kind: 'whole' };

export const taskSchema = z.strictObject({
  taskId: z.string(),
  jobId: z.string(),
  tenantId: z.string(),
  /** 1 for the first run; a task that was requeued after a fault runs again. */
  run: z.number().int().min(1),
  /** Made by the claim. Only its holder can settle or requeue. */
  runToken: z.string(),
  spec: jobSpecSchema,
  part: taskPartSchema,
});

export type Task = z.infer<typeof taskSchema>;

/** What a tenant is billed for: CPU time, and memory by the time it was held. */
export const billSchema = z.strictObject({
  cpuMs: z.number().nonnegative(),
  memoryByteMs: z.number().nonnegative(),
});

export type Bill = z.infer<typeof billSchema>;

/** In a result every stream is there; `include` leaves parts out only on the way to a client. */
const fullStepShape = {
  ...stepResultSchema.shape,
  stdout: streamSchema,
  stderr: streamSchema,
};

export const taskWorkSchema = z.strictObject({
  compile: z
    .strictObject({ ...fullStepShape, cached: compileResultSchema.shape.cached })
    .nullable(),
  run: z.strictObject(fullStepShape).nullable(),
  steps: z
    .array(z.strictObject({ ...fullStepShape, name: namedStepResultSchema.shape.name }))
    .nullable(),
  files: z.array(collectedFileSchema),
  filesOmitted: z.array(omittedFileSchema),
  /** What a slice of tests came to: the results from this index on. */
  tests: z
    .strictObject({
      from: testIndex,
      results: z.array(testResultSchema),
      /** What the slice used, for the account. */
      bill: billSchema.optional(),
    })
    .optional(),
  /** What a judge job's compile task says of its tests: all that is needed to count points. */
  plan: z.array(testPlanSchema).optional(),
  /** `<name>@sha256:<hex>` of the image the box was made of. */
  image: z.string(),
  /** Time spent on making and removing boxes, without the program's own. */
  boxMs: z.number().nonnegative(),
});

export type TaskWork = z.infer<typeof taskWorkSchema>;

export const nextPartsSchema = z.strictObject({
  parts: z.array(taskPartSchema),
  parallel: z.number().int().min(1),
});

export type NextParts = z.infer<typeof nextPartsSchema>;

export const taskResultSchema = z.discriminatedUnion('status', [
  z.strictObject({
    status: z.literal('finished'),
    work: taskWorkSchema,
    /** What comes next in the job: at the front of its tenant's backlog, at most `parallel` at once. */
    next: nextPartsSchema.optional(),
    /** What waits of the job is dropped; it ends when what is in flight has ended. */
    stop: z.boolean().optional(),
  }),
  /** The signal was heeded: what had run until then, or null when nothing had. */
  z.strictObject({ status: z.literal('cancelled'), work: taskWorkSchema.nullable() }),
  /** The same as throwing the fault, with what had finished before it. */
  z.strictObject({
    status: z.literal('fault'),
    fault: faultSchema,
    work: taskWorkSchema.nullable(),
  }),
]);

export type TaskResult = z.infer<typeof taskResultSchema>;

/** What an executor says about itself with every heartbeat. */
export const executorAnnouncementSchema = z.strictObject({
  executorId: z.string().min(1).max(64),
  pool: z.string().regex(/^[a-z0-9-]{1,32}$/),
  slots: z.number().int().min(1).max(4_096),
});

export type ExecutorAnnouncement = z.infer<typeof executorAnnouncementSchema>;
