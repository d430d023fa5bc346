/**
 * What tests come to: pure, and the only place that says so. The verdict of a test from how its step ended and
 * what the checker says; verdict and points of a job from its tests; which tests are still to be run.
 */
import { z } from 'zod';
import type { Outcome } from './outcomes.js';

export const VERDICTS = {
  accepted: 'The output is right.',
  wrong_answer: 'The checker refuses the output.',
  presentation_error: 'The checker could not make sense of the output.',
  time_limit: 'It used its CPU time up.',
  wall_limit: 'It used its time by the clock up.',
  memory_limit: 'It needed more memory than it was given.',
  output_limit: 'It wrote more output than it was allowed.',
  runtime_error:
    'It exited with another status than 0, was ended by a signal, or its disk was full.',
  judge_fault: 'The checker, interactor or harness failed: nothing is said about the program.',
  skipped: 'It was not run, since an earlier one had failed or the job had ended.',
} as const satisfies Record<string, string>;

export type Verdict = keyof typeof VERDICTS;
export const VERDICT_NAMES = Object.keys(VERDICTS) as [Verdict, ...Verdict[]];
export const verdictSchema = z.enum(VERDICT_NAMES);

/** A job's own: its tests', or that there was nothing to test. */
export const jobVerdictSchema = z.enum([...VERDICT_NAMES, 'compile_error']);
export type JobVerdict = z.infer<typeof jobVerdictSchema>;

/** What a checker says, with the share of the points: 1 when accepted, unless it gives partial ones. */
export interface Check {
  readonly verdict: 'accepted' | 'wrong_answer' | 'presentation_error' | 'judge_fault';
  readonly message: string;
  readonly score: number;
}

export interface Ending {
  readonly outcome: Outcome;
  readonly exitCode: number | null;
}

const VERDICT_OF_OUTCOME: Record<Exclude<Outcome, 'exited'>, Verdict> = {
  signaled: 'runtime_error',
  cpu_limit: 'time_limit',
  wall_limit: 'wall_limit',
  memory_limit: 'memory_limit',
  output_limit: 'output_limit',
  disk_limit: 'runtime_error',
  cancelled: 'skipped',
};

/** What the ending alone decides; null: the checker has to. */
export function verdictOfEnding({ outcome, exitCode }: Ending): Verdict | null {
  if (outcome !== 'exited') return VERDICT_OF_OUTCOME[outcome];
  return exitCode === 0 ? null : 'runtime_error';
}

/** testlib.h: _ok, _wa, _pe, _fail, _dirt, _points, _unexpected_eof. */
const TESTLIB: Readonly<Record<number, Check['verdict']>> = {
  0: 'accepted',
  1: 'wrong_answer',
  2: 'presentation_error',
  4: 'presentation_error',
  8: 'presentation_error',
};
/** The ICPC package format's output validators. */
const DOMJUDGE: Readonly<Record<number, Check['verdict']>> = { 42: 'accepted', 43: 'wrong_answer' };
const TESTLIB_POINTS = 7;

/** A checker that ended any other way than its protocol allows has failed: never accepted. */
export function checkOfEnding(
  protocol: 'testlib' | 'domjudge',
  { outcome, exitCode }: Ending,
  message: string,
  who: 'checker' | 'interactor' = 'checker',
): Check {
  const verdict =
    outcome === 'exited' && exitCode !== null
      ? (protocol === 'testlib' ? TESTLIB : DOMJUDGE)[exitCode]
      : undefined;
  if (verdict !== undefined) return { verdict, message, score: verdict === 'accepted' ? 1 : 0 };
  if (protocol === 'testlib' && outcome === 'exited' && exitCode === TESTLIB_POINTS) {
    return partial(message, who);
  }
  const how = outcome === 'exited' ? `exited with ${exitCode ?? '?'}` : outcome;
  const detail = `the ${who} ${how}${message === '' ? '' : `: ${message}`}`;
  return { verdict: 'judge_fault', message: detail, score: 0 };
}

/** testlib's quitp: "points 0.5", of 1. */
function partial(message: string, who: string): Check {
  const said = /^\s*(?:points\s+)?([0-9]*\.?[0-9]+)/.exec(message);
  const score = said === null ? Number.NaN : Number(said[1]);
  if (!(score >= 0 && score <= 1)) {
    return { verdict: 'judge_fault', message: `the ${who} gives no points: ${message}`, score: 0 };
  }
  return { verdict: score === 1 ? 'accepted' : 'wrong_answer', message, score };
}

/** How the two sides of an interactive problem ended, and which did so first. */
export interface Interaction {
  readonly program: Ending;
  readonly interactor: Ending & { readonly signal: number | null };
  readonly programFirst: boolean;
}

export interface Judgement {
  readonly verdict: Verdict;
  readonly message: string;
  readonly score: number;
}

const SIGPIPE = 13;
const LEFT_EARLY = 'the program ended before the interactor had said all';

/**
 * Whoever went wrong first is to blame: what the other does once its peer is gone is a consequence. A program that
 * has failed by itself failed, whatever the interactor makes of the silence; an interactor that has refused is right,
 * however the program takes its leaving; and where it accepts, the program has to end well, too.
 */
export function judgementOfInteraction(
  protocol: 'testlib' | 'domjudge',
  { program, interactor, programFirst }: Interaction,
  message: string,
): Judgement {
  const failure = verdictOfEnding(program);
  if (programFirst && failure !== null) return { verdict: failure, message: '', score: 0 };
  if (interactor.outcome === 'signaled' && interactor.signal === SIGPIPE && programFirst) {
    return { verdict: 'wrong_answer', message: LEFT_EARLY, score: 0 };
  }
  const check = checkOfEnding(protocol, interactor, message, 'interactor');
  if (check.score === 0 || failure === null) return check;
  return { verdict: failure, message, score: 0 };
}

/** Whether an interactor that ended like this leaves the program nothing to gain, whatever it does now. */
export function isRefusal(
  protocol: 'testlib' | 'domjudge',
  { outcome, exitCode }: Ending,
): boolean {
  const hopeful = protocol === 'testlib' ? [0, TESTLIB_POINTS] : [42];
  return outcome !== 'exited' || exitCode === null || !hopeful.includes(exitCode);
}

/** What has to be known of a test to count its points. */
export const testPlanSchema = z.strictObject({
  name: z.string(),
  points: z.number(),
  group: z.string().nullable(),
});

export type TestPlan = z.infer<typeof testPlanSchema>;

export interface Judged {
  readonly verdict: Verdict;
  /** Before its group has had a say. */
  readonly points: number;
}

export type StopOn = 'never' | 'first_failure' | 'group_failure';

export function passed({ verdict }: Pick<Judged, 'verdict'>): boolean {
  return verdict === 'accepted';
}

/** Whether a test need not be run any more, by the results so far; `results` has holes. */
export function isSkipped(
  stopOn: StopOn,
  tests: readonly TestPlan[],
  index: number,
  results: readonly (Judged | undefined)[],
): boolean {
  if (stopOn === 'never') return false;
  const group = tests[index]?.group ?? null;
  return results.some((result, at) => {
    if (result === undefined || passed(result)) return false;
    if (stopOn === 'first_failure') return true;
    return group !== null && at !== index && tests[at]?.group === group;
  });
}

export interface Score {
  readonly verdict: JobVerdict | null;
  readonly points: number;
  readonly pointsMax: number;
}

/**
 * Of a job, from the tests that have a result. Points of a group count when each of its tests passed; the verdict is
 * the first failure's in the order of the tests, but a fault of the judge says that nothing is known.
 */
export function scoreOf(
  tests: readonly TestPlan[],
  results: readonly (Judged | undefined)[],
  compiled: boolean | null,
  ended: boolean,
): Score {
  const broken = new Set(
    tests.flatMap(({ group }, index) => {
      const result = results[index];
      return group !== null && (result === undefined ? ended : !passed(result)) ? [group] : [];
    }),
  );
  const points = tests.reduce(
    (sum, { group }, index) =>
      sum + (group !== null && broken.has(group) ? 0 : (results[index]?.points ?? 0)),
    0,
  );
  const pointsMax = tests.reduce((sum, test) => sum + test.points, 0);
  return { verdict: ended ? verdictOf(tests, results, compiled) : null, points, pointsMax };
}

function verdictOf(
  tests: readonly TestPlan[],
  results: readonly (Judged | undefined)[],
  compiled: boolean | null,
): JobVerdict {
  if (compiled === false) return 'compile_error';
  const verdicts = tests.map((_, index) => results[index]?.verdict ?? 'skipped');
  if (verdicts.includes('judge_fault')) return 'judge_fault';
  const failed = verdicts.find((verdict) => verdict !== 'accepted' && verdict !== 'skipped');
  return failed ?? verdicts.find((verdict) => verdict !== 'accepted') ?? 'accepted';
}
