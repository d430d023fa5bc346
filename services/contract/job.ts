/** The job as clients read it. */
import { z } from 'zod';
import { callbackSchema } from './callback.js';
import { storedContentSchema } from './blobs.js';
import { encodingSchema } from './encoding.js';
import { jobIdSchema } from './ids.js';
import { LANGUAGE_NAMES } from './languages.js';
import { jobVerdictSchema, verdictSchema } from './judging.js';
import { outcomeSchema } from './outcomes.js';

export const JOB_STATUSES = ['queued', 'running', 'finished', 'failed', 'cancelled'] as const;
export const jobStatusSchema = z.enum(JOB_STATUSES);
export type JobStatus = z.infer<typeof jobStatusSchema>;

export function isFinal(status: JobStatus): boolean {
  return status !== 'queued' && status !== 'running';
}

const count = z.number().int().nonnegative();
const milliseconds = z.number().nonnegative();

/** Read from the kernel. Null: the kernel could not be asked any more. */
export const usageSchema = z.strictObject({
  cpuTimeMs: milliseconds,
  cpuUserMs: milliseconds,
  cpuSystemMs: milliseconds,
  wallTimeMs: milliseconds,
  memoryBytesPeak: count,
  processesPeak: count,
  oomKills: count,
  diskBytes: count,
  ioReadBytes: count,
  ioWriteBytes: count,
  contextSwitches: count.nullable(),
  majorPageFaults: count.nullable(),
});

/** A stream as text; or, when it is large, where its bytes lie. */
export const streamSchema = z.union([z.string(), storedContentSchema]);
export type StreamContent = z.infer<typeof streamSchema>;

export const stepResultSchema = z.strictObject({
  outcome: outcomeSchema,
  exitCode: z.number().int().nullable(),
  signal: z.string().nullable(),
  stdout: streamSchema.optional(),
  stdoutEncoding: encodingSchema,
  stdoutTruncated: z.boolean(),
  stderr: streamSchema.optional(),
  stderrEncoding: encodingSchema,
  stderrTruncated: z.boolean(),
  usage: usageSchema,
});

export const compileResultSchema = z.strictObject({
  ...stepResultSchema.shape,
  cached: z
    .boolean()
    .optional()
    .describe('Of a judge job: it was compiled before, and this is what was said then.'),
});

/** What the two sides of an interactive problem said, in the order in which they did. */
export const transcriptSchema = z.strictObject({
  said: z.array(
    z.strictObject({
      by: z.enum(['program', 'interactor']),
      content: z.string(),
      encoding: encodingSchema,
    }),
  ),
  truncated: z.boolean(),
});
export type Transcript = z.infer<typeof transcriptSchema>;

export const testResultSchema = z.strictObject({
  index: count.describe('Its place in the request.'),
  name: z.string(),
  group: z.string().nullable(),
  verdict: verdictSchema,
  points: z.number().nonnegative(),
  message: z.string().describe('What the checker says.'),
  run: stepResultSchema.nullable().describe('Null when it was not run.'),
  transcript: transcriptSchema
    .nullable()
    .optional()
    .describe('With an interactor, of a test that is reported, where it was asked for.'),
});

/** What is told of a test as soon as it has a result. */
export const testEventSchema = z.strictObject({
  ...testResultSchema.pick({ index: true, verdict: true, points: true }).shape,
  usage: usageSchema.nullable().describe('Null when it was not run.'),
});

export const namedStepResultSchema = z.strictObject({
  name: z.string(),
  ...stepResultSchema.shape,
});

/** With its content; or, when it is large, with the blob that it is. */
export const collectedFileSchema = z.union([
  z.strictObject({
    path: z.string(),
    bytes: count,
    content: z.string(),
    encoding: encodingSchema,
  }),
  z.strictObject({ path: z.string(), bytes: count, blob: z.string() }),
]);

export const omittedFileSchema = z.strictObject({ path: z.string(), reason: z.string() });

export const jobProblemSchema = z.strictObject({
  code: z.string(),
  stage: z.string(),
  detail: z.string(),
  retryable: z.boolean(),
});

export const jobSchema = z.strictObject({
  id: jobIdSchema,
  status: jobStatusSchema,
  language: z.enum(LANGUAGE_NAMES).nullable(),
  image: z.string().describe('With its digest once the job has run.'),
  createdAt: z.iso.datetime(),
  startedAt: z.iso.datetime().nullable(),
  finishedAt: z.iso.datetime().nullable(),
  executor: z.string().nullable(),
  runs: count,
  compile: compileResultSchema.nullable(),
  run: stepResultSchema.nullable(),
  steps: z.array(namedStepResultSchema).nullable(),
  tests: z
    .array(testResultSchema)
    .nullable()
    .optional()
    .describe(
      'Of a judge job: those that have a result, in the order of the request; of a graded one: its results.',
    ),
  verdict: jobVerdictSchema.nullable().describe('Of a judge or graded job that has ended.'),
  points: z.number().nonnegative().nullable(),
  pointsMax: z.number().nonnegative().nullable(),
  files: z.array(collectedFileSchema).optional(),
  filesOmitted: z.array(omittedFileSchema),
  timings: z.strictObject({
    queuedMs: milliseconds.nullable(),
    boxMs: milliseconds.nullable(),
    totalMs: milliseconds.nullable(),
  }),
  problem: jobProblemSchema.nullable(),
  callback: callbackSchema.nullable(),
  metadata: z.record(z.string(), z.unknown()),
});

/** A job in a list: what it is and how it stands, without its results. */
export const jobSummarySchema = jobSchema.pick({
  id: true,
  status: true,
  language: true,
  image: true,
  createdAt: true,
  startedAt: true,
  finishedAt: true,
  executor: true,
  runs: true,
  timings: true,
  problem: true,
  metadata: true,
});

export type Usage = z.infer<typeof usageSchema>;
export type StepResult = z.infer<typeof stepResultSchema>;
export type CompileResult = z.infer<typeof compileResultSchema>;
export type TestResult = z.infer<typeof testResultSchema>;
export type TestEvent = z.infer<typeof testEventSchema>;
export type NamedStepResult = z.infer<typeof namedStepResultSchema>;
export type CollectedFile = z.infer<typeof collectedFileSchema>;
export type OmittedFile = z.infer<typeof omittedFileSchema>;
export type JobProblem = z.infer<typeof jobProblemSchema>;
export type JobSummary = z.infer<typeof jobSummarySchema>;
export type Job = z.infer<typeof jobSchema>;

export function testEventOf({ index, verdict, points, run }: TestResult): TestEvent {
  return { index, verdict, points, usage: run?.usage ?? null };
}

/** The heavy parts of a job, which `include` picks. */
export const HEAVY_PARTS = ['stdout', 'stderr', 'files', 'tests'] as const;
export type HeavyPart = (typeof HEAVY_PARTS)[number];
