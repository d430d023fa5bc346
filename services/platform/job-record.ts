/** From the record in Redis to the job a client reads. */
import { z } from 'zod';
import { callbackSchema, type Callback } from '../contract/callback.js';
import {
  isFinal,
  jobProblemSchema,
  jobStatusSchema,
  type CompileResult,
  type Job,
  type JobSummary,
  type TestResult,
} from '../contract/job.js';
import { LANGUAGE_NAMES } from '../contract/languages.js';
import { scoreOf } from '../contract/judging.js';
import type { ResultView } from './result-parts.js';

// Each field of a hash is a string.
const number = z.coerce.number();
const metadataSchema = z.record(z.string(), z.unknown());

const recordSchema = z.object({
  tenant: z.string(),
  status: jobStatusSchema,
  language: z.union([z.enum(LANGUAGE_NAMES), z.literal('').transform(() => null)]),
  image: z.string(),
  metadata: z.string().transform((text) => metadataSchema.parse(JSON.parse(text))),
  runs: number,
  createdAt: number,
  startedAt: number.optional(),
  finishedAt: number.optional(),
  executor: z.string().optional(),
  boxMs: number.optional(),
  problem: z
    .string()
    .transform((text) => jobProblemSchema.parse(JSON.parse(text)))
    .optional(),
  callback: z.literal('1').optional(),
});

export type JobRecord = z.output<typeof recordSchema>;

/** Null when there is no such record. What is there but does not parse is a bug. */
export function parseJobRecord(hash: Readonly<Record<string, string>>): JobRecord | null {
  return hash.tenant === undefined ? null : recordSchema.parse(hash);
}

function isoTime(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString();
}

function spanMs(from: number, to: number | undefined): number | null {
  return to === undefined ? null : Math.max(0, Math.round((to - from) * 1_000) / 1_000);
}

/** Verdict and points are derived here, at reading, and never stored. */
function judgement(record: JobRecord, result: ResultView | null, testsAsked: boolean) {
  const judged = result?.judged;
  if (judged === undefined) {
    return { ...(testsAsked ? { tests: null } : {}), verdict: null, points: null, pointsMax: null };
  }
  const results: TestResult[] = [];
  for (const test of judged.tests) results[test.index] = test;
  const compiled = result?.compile === null || isCompiled(result?.compile);
  const score = scoreOf(judged.plan, results, compiled, isFinal(record.status));
  // A job that could not be judged to its end has no verdict; its points are those of what was.
  const verdict = record.status === 'finished' ? score.verdict : null;
  return { ...(testsAsked ? { tests: judged.tests } : {}), ...score, verdict };
}

function isCompiled(compile: CompileResult | undefined): boolean {
  return compile?.outcome === 'exited' && compile.exitCode === 0;
}

/** What a job is and how it stands, without its results. */
export function renderSummary(jobId: string, record: JobRecord): JobSummary {
  return {
    id: jobId,
    status: record.status,
    language: record.language,
    image: record.image,
    createdAt: new Date(record.createdAt).toISOString(),
    startedAt: isoTime(record.startedAt),
    finishedAt: isoTime(record.finishedAt),
    executor: record.executor ?? null,
    runs: record.runs,
    timings: {
      queuedMs: spanMs(record.createdAt, record.startedAt),
      boxMs: record.boxMs ?? null,
      totalMs: spanMs(record.createdAt, record.finishedAt),
    },
    problem: record.problem ?? null,
    metadata: record.metadata,
  };
}

const callbackRecordSchema = z.object({
  state: callbackSchema.shape.state,
  attempts: number,
  next: number.optional(),
  lastStatus: number.optional(),
});

/** Null: the job has none. */
export function parseCallbackRecord(hash: Readonly<Record<string, string>>): Callback | null {
  if (hash.state === undefined) return null;
  const { state, attempts, next, lastStatus = null } = callbackRecordSchema.parse(hash);
  return { state, attempts, nextAttemptAt: isoTime(next), lastStatus };
}

export const CALLBACK_NOT_DUE: Callback = {
  state: 'pending',
  attempts: 0,
  nextAttemptAt: null,
  lastStatus: null,
};

export function renderJob(
  jobId: string,
  record: JobRecord,
  result: ResultView | null,
  testsAsked = true,
  callback: Callback | null = null,
): Job {
  const filesAsked = result === null || result.files !== undefined;
  // Not spread into a literal that goes on after it, which takes V8 seven times as long.
  return Object.assign(renderSummary(jobId, record), {
    callback,
    compile: result?.compile ?? null,
    run: result?.run ?? null,
    steps: result?.steps ?? null,
    ...judgement(record, result, testsAsked),
    ...(filesAsked ? { files: result?.files ?? [] } : {}),
    filesOmitted: result?.filesOmitted ?? [],
  });
}
