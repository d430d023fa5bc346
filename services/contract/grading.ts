/**
 * What a harness may say, line by line, and what it comes to: pure. It is held to the rules of a request, and its runs
 * to the limits of the job: whatever it asks for, the tenant could have asked for.
 */
import { z } from 'zod';
import { contentIssue, decodeContent } from './encoding.js';
import { issuesOf } from './issues.js';
import { filesOf, type FileSpec } from './job-files.js';
import type { TestResult } from './job.js';
import { REQUEST_CAPS } from './job-request.js';
import { argvEnvBytes } from './job-spec.js';
import { nameSchema, pointsSchema, testRequestSchema } from './judge-request.js';
import type { ProgramSpec } from './judge-spec.js';
import { verdictSchema, type Ending, type TestPlan } from './judging.js';
import { limitsRequestSchema, resolveLimits, type Limits, type LimitsRequest } from './limits.js';
import { imagePathIssue } from './paths.js';
import type { Issue } from './problems.js';

export const GRADE_CAPS = {
  lineBytes: 1024 * 1024,
  runs: 1_000,
  results: 1_000,
  /** A longer message is cut. */
  messageChars: 1_024,
  /** Of each stream of a run, as the harness is told of it. */
  answerBytes: 1024 * 1024,
} as const;

/** One run of the program. */
export interface GradeRun {
  readonly stdin: Buffer;
  readonly args: readonly string[];
  readonly files: readonly FileSpec[];
  readonly limits: Limits;
}

export interface GradeResult {
  readonly plan: TestPlan;
  readonly result: Pick<TestResult, 'name' | 'verdict' | 'points' | 'message'>;
}

export type Said =
  | { readonly kind: 'run'; readonly run: GradeRun }
  | { readonly kind: 'result'; readonly graded: GradeResult }
  | { readonly kind: 'wrong'; readonly why: string };

const resultSchema = z
  .strictObject({
    name: nameSchema,
    points: pointsSchema,
    pointsMax: pointsSchema,
    verdict: verdictSchema.optional(),
    message: z.string().default(''),
  })
  .superRefine(({ points, pointsMax, verdict }, ctx) => {
    if (points > pointsMax) {
      ctx.addIssue({ code: 'custom', path: ['points'], message: 'must be at most pointsMax' });
    } else if (verdict === 'accepted' && points < pointsMax) {
      ctx.addIssue({ code: 'custom', path: ['verdict'], message: 'accepted goes with all points' });
    }
  });

const exactlyOne = 'must be {"run": …} or {"result": …}';

function saidSchema(maxima: Readonly<Limits>) {
  const run = z.strictObject({
    ...testRequestSchema.pick({ stdin: true, stdinEncoding: true, args: true, files: true }).shape,
    // No more than the job has: a run may only be given less.
    limits: limitsRequestSchema(maxima).optional(),
  });
  return z
    .strictObject({ run: run.optional(), result: resultSchema.optional() }, { error: exactlyOne })
    .refine((said) => (said.run === undefined) !== (said.result === undefined), {
      error: exactlyOne,
    });
}

type RunRequest = NonNullable<z.output<ReturnType<typeof saidSchema>>['run']>;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** For the lines of one harness, which grades this program. */
export function createSaidParser(program: ProgramSpec): (line: Buffer) => Said {
  const schema = saidSchema(program.limits);
  return (line) => {
    let value: unknown;
    try {
      value = JSON.parse(utf8.decode(line));
    } catch {
      return { kind: 'wrong', why: 'it is not JSON' };
    }
    const parsed = schema.safeParse(value);
    if (!parsed.success) return wrong(issuesOf(parsed.error));
    const { run, result } = parsed.data;
    if (result !== undefined) return { kind: 'result', graded: gradedOf(result) };
    return run === undefined ? wrong([]) : runOf(run, program);
  };
}

function wrong([first]: readonly Issue[]): Said {
  const { path, message } = first ?? { path: '', message: exactlyOne };
  return { kind: 'wrong', why: path === '' ? message : `${path} ${message}` };
}

function gradedOf({
  name,
  points,
  pointsMax,
  ...said
}: z.output<typeof resultSchema>): GradeResult {
  const verdict = said.verdict ?? (points === pointsMax ? 'accepted' : 'wrong_answer');
  // What is cut in the middle of a pair, or came as half of one, cannot be kept as it is.
  const message = said.message
    .slice(0, GRADE_CAPS.messageChars)
    .replace(/\p{Surrogate}/gu, '\ufffd');
  return {
    plan: { name, points: pointsMax, group: null },
    result: { name, verdict, points, message },
  };
}

function runOf(asked: RunRequest, program: ProgramSpec): Said {
  const issues: Issue[] = [];
  const refuse = (path: string, message: string): void => {
    issues.push({ path: `run.${path}`, message });
  };
  const { args = program.args, files: given = [] } = asked;
  const stdin = { content: asked.stdin ?? '', encoding: asked.stdinEncoding ?? ('utf8' as const) };
  const issue = contentIssue(stdin);
  if (issue !== null) refuse('stdin', issue);
  const files = filesOf({ files: given }, program.cwd, refuse);
  for (const [index, { path, blob }] of files.entries()) {
    const outside = imagePathIssue(path, program.image);
    if (outside !== null) refuse(`files[${index}].path`, outside);
    if (blob !== undefined) refuse(`files[${index}].blob`, 'does not go with grade: give content');
  }
  if (argvEnvBytes(args, program.env) > REQUEST_CAPS.argvEnvBytes) {
    refuse('args', `and env must be at most ${REQUEST_CAPS.argvEnvBytes} bytes in all`);
  }
  const { limits, issues: clashes } = narrowed(program.limits, asked.limits ?? {});
  for (const { name, message } of clashes) refuse(`limits.${name}`, message);
  if (issues.length > 0) return wrong(issues);
  return { kind: 'run', run: { stdin: decodeContent(stdin), args, files, limits } };
}

/** The job's limits hold as they are; only where memory shrinks does the disk with it. */
function narrowed(limits: Limits, asked: LimitsRequest) {
  const disk = asked.memoryBytes === undefined ? { diskBytes: limits.diskBytes } : {};
  return resolveLimits({ ...disk, ...asked }, limits, limits);
}

/** Why what a harness said cannot be relied on, by how it ended; null: it ended well. */
export function faultOfHarness({ outcome, exitCode }: Ending, message: string): string | null {
  if (outcome === 'exited' && exitCode === 0) return null;
  const how = outcome === 'exited' ? `exited with ${exitCode ?? '?'}` : outcome;
  return `the harness ${how}${message === '' ? '' : `: ${message}`}`;
}

/** What a job is told in place of a result that nobody could give: worth nothing, and never accepted. */
export function faultResult(message: string): GradeResult {
  const name = 'harness';
  return {
    plan: { name, points: 0, group: null },
    result: { name, verdict: 'judge_fault', points: 0, message },
  };
}
