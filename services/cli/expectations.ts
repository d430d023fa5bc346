/** What a package says of its own submissions, by the folder they lie in: what has to be, and what may be. */
import type { Job } from '../contract/job.js';
import type { Verdict } from '../contract/judging.js';

interface Expectation {
  /** At least one test has one of these; none: every test is accepted. */
  readonly some: readonly Verdict[];
  /** What tests may have beside that. */
  readonly others: readonly Verdict[];
}

const TIME: readonly Verdict[] = ['time_limit', 'wall_limit'];
const WRONG: readonly Verdict[] = ['wrong_answer', 'presentation_error'];
const CRASH: readonly Verdict[] = ['runtime_error', 'memory_limit'];

export const EXPECTATIONS: Readonly<Record<string, Expectation>> = {
  accepted: { some: [], others: [] },
  wrong_answer: { some: WRONG, others: [] },
  time_limit_exceeded: { some: TIME, others: WRONG },
  run_time_error: { some: CRASH, others: [...WRONG, ...TIME] },
  memory_limit_exceeded: { some: ['memory_limit'], others: [] },
  output_limit_exceeded: { some: ['output_limit'], others: WRONG },
};

const COMPILE_ERROR = ['compiler_error', 'compile_error'];

export function isKnown(expected: string): boolean {
  return Object.hasOwn(EXPECTATIONS, expected) || COMPILE_ERROR.includes(expected);
}

/** Whether a job that has ended came out as its folder says. */
export function isAsExpected(expected: string, job: Pick<Job, 'status' | 'verdict' | 'tests'>) {
  if (job.status !== 'finished') return false;
  if (COMPILE_ERROR.includes(expected)) return job.verdict === 'compile_error';
  const expectation = isKnown(expected) ? EXPECTATIONS[expected] : undefined;
  if (expectation === undefined || job.verdict === 'compile_error') return false;
  const verdicts = (job.tests ?? []).map(({ verdict }) => verdict);
  const { some, others } = expectation;
  if (some.length === 0) return job.verdict === 'accepted';
  const allowed: readonly Verdict[] = ['accepted', ...some, ...others];
  return (
    verdicts.some((verdict) => some.includes(verdict)) &&
    verdicts.every((verdict) => allowed.includes(verdict))
  );
}
