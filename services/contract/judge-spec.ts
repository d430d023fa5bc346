/** Tests and judge in normal form, as records and tasks carry them, and the rules between their fields. */
import { z } from 'zod';
import { contentBytes, contentIssue, encodingSchema } from './encoding.js';
import { fileSpecSchema, filesOf, type FileSpec, type Refuse } from './job-files.js';
import type { JobRequest } from './job-request.js';
import {
  JUDGE_CAPS,
  JUDGE_DEFAULTS,
  PROTOCOLS,
  REPORT_ON,
  STOP_ON,
  TIMINGS,
  type JudgeRequest,
  type ProgramRequest,
  type TestRequest,
} from './judge-request.js';
import { LANGUAGE_NAMES } from './languages.js';
import { limitsSchema, type Limits, type LimitsRequest } from './limits.js';

const contentSpecSchema = z.strictObject({ content: z.string(), encoding: encodingSchema });

export const testSpecSchema = z.strictObject({
  name: z.string(),
  stdin: contentSpecSchema,
  expectedStdout: contentSpecSchema.nullable(),
  args: z.array(z.string()).nullable(),
  files: z.array(fileSpecSchema),
  limits: limitsSchema,
  points: z.number(),
  group: z.string().nullable(),
});

/** What is compiled once and run often: the submission, a checker. */
export const programSpecSchema = z.strictObject({
  language: z.enum(LANGUAGE_NAMES),
  image: z.string(),
  cwd: z.string(),
  files: z.array(fileSpecSchema),
  env: z.record(z.string(), z.string()),
  args: z.array(z.string()),
  limits: limitsSchema,
  compile: z.strictObject({ args: z.array(z.string()), limits: limitsSchema }).nullable(),
});

export const checkerSpecSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.enum(['exact', 'lines', 'tokens', 'unordered_lines']) }),
  z.strictObject({ kind: z.literal('floats'), absolute: z.number(), relative: z.number() }),
  z.strictObject({
    kind: z.literal('program'),
    protocol: z.enum(PROTOCOLS),
    program: programSpecSchema,
  }),
]);

export const interactorSpecSchema = z.strictObject({
  protocol: z.enum(PROTOCOLS),
  program: programSpecSchema,
});

export const judgeSpecSchema = z.strictObject({
  tests: z.array(testSpecSchema).min(1),
  stopOn: z.enum(STOP_ON),
  parallel: z.number().int(),
  checker: checkerSpecSchema,
  /** In place of the checker. */
  interactor: interactorSpecSchema.nullable().default(null),
  timing: z.enum(TIMINGS),
  report: z.strictObject({
    on: z.enum(REPORT_ON),
    stdoutBytes: z.number().int(),
    transcript: z.boolean().default(false),
  }),
});

export type TestSpec = z.infer<typeof testSpecSchema>;
export type ProgramSpec = z.infer<typeof programSpecSchema>;
export type CheckerSpec = z.infer<typeof checkerSpecSchema>;
export type InteractorSpec = z.infer<typeof interactorSpecSchema>;
export type JudgeSpec = z.infer<typeof judgeSpecSchema>;

/** 1e-6, as problem statements usually say, of either kind. */
const TOLERANCE = 1e-6;

/** How a request's program becomes a spec; passed in, since it is the same as for a job. */
export type ProgramOf = (request: ProgramRequest, at: string) => ProgramSpec;

export interface JudgeContext {
  readonly cwd: string;
  readonly refuse: Refuse;
  /** By the tenant's plan, and with the language's defaults. */
  readonly limitsOf: (requested: LimitsRequest, at: string) => Limits;
  readonly programOf: ProgramOf;
}

/** Null when the request has no tests. */
export function judgeOf(request: JobRequest, context: JudgeContext): JudgeSpec | null {
  const { refuse, cwd } = context;
  const { tests, judge = {} } = request;
  if (tests === undefined) {
    if (request.judge !== undefined) refuse('judge', 'goes with tests');
    return null;
  }
  for (const field of ['stdin', 'stdinEncoding', 'args'] as const) {
    if (request[field] !== undefined) refuse(field, 'goes with each of the tests');
  }
  if (request.collect !== undefined) refuse('collect', 'does not go with tests');
  if (request.archives !== undefined) refuse('archives', 'does not go with tests');
  if (request.mergeStderr === true) refuse('mergeStderr', 'does not go with tests');
  refuseBlobs(request.files, 'files', refuse);
  for (const [index, test] of tests.entries()) {
    refuseBlobs(test.files ?? [], `tests[${index}].files`, refuse);
  }
  if (judge.checker?.kind === 'program') {
    refuseBlobs(judge.checker.files, 'judge.checker.files', refuse);
  }
  if (judge.interactor !== undefined) {
    refuseBlobs(judge.interactor.files, 'judge.interactor.files', refuse);
    if (judge.checker !== undefined) refuse('judge.checker', 'does not go with interactor');
    if (judge.timing === 'exclusive')
      refuse('judge.timing', 'exclusive does not go with interactor');
  } else if (judge.report?.transcript === true) {
    refuse('judge.report.transcript', 'goes with interactor');
  }
  if (cwd !== '/box' && !cwd.startsWith('/box/'))
    refuse('cwd', 'must be /box or below it, with tests');
  const specs = tests.map((test, index) => testOf(request, test, index, context));
  checkTests(specs, refuse);
  return {
    tests: specs,
    stopOn: judge.stopOn ?? 'never',
    parallel: judge.parallel ?? JUDGE_DEFAULTS.parallel,
    checker: checkerOf(judge, context),
    interactor: interactorOf(judge, context),
    timing: judge.timing ?? 'shared',
    report: {
      on: judge.report?.on ?? 'failed',
      stdoutBytes: judge.report?.stdoutBytes ?? JUDGE_DEFAULTS.reportBytes,
      transcript: judge.report?.transcript ?? false,
    },
  };
}

/** Better refused than empty: a judge job carries its contents with it. */
function refuseBlobs(
  files: readonly { readonly blob?: string | undefined }[],
  at: string,
  refuse: Refuse,
): void {
  for (const [index, { blob }] of files.entries()) {
    if (blob !== undefined) refuse(`${at}[${index}].blob`, 'does not go with tests: give content');
  }
}

function testOf(
  job: JobRequest,
  test: TestRequest,
  index: number,
  context: JudgeContext,
): TestSpec {
  const { refuse, cwd, limitsOf } = context;
  const at = `tests[${index}]`;
  const content = (field: 'stdin' | 'expectedStdout') => {
    const value = {
      content: test[field] ?? '',
      encoding: test[`${field}Encoding`] ?? ('utf8' as const),
    };
    const message = contentIssue(value);
    if (message !== null) refuse(`${at}.${field}`, message);
    return value;
  };
  return {
    name: test.name ?? String(index + 1),
    stdin: content('stdin'),
    expectedStdout: test.expectedStdout === undefined ? null : content('expectedStdout'),
    args: test.args ?? null,
    files: filesOf({ files: test.files ?? [] }, cwd, (path, message) => {
      refuse(`${at}.${path}`, message);
    }),
    limits: limitsOf({ ...job.limits, ...test.limits }, `${at}.limits`),
    points: test.points ?? JUDGE_DEFAULTS.points,
    group: test.group ?? null,
  };
}

function checkTests(tests: readonly TestSpec[], refuse: Refuse): void {
  const names = new Set<string>();
  let bytes = 0;
  for (const [index, test] of tests.entries()) {
    if (names.has(test.name)) refuse(`tests[${index}].name`, 'is used by an earlier test');
    names.add(test.name);
    bytes += contentBytes(test.stdin) + filesBytes(test.files);
    bytes += test.expectedStdout === null ? 0 : contentBytes(test.expectedStdout);
  }
  if (bytes > JUDGE_CAPS.testsBytes) {
    refuse('tests', `must be at most ${JUDGE_CAPS.testsBytes} bytes in all`);
  }
}

function filesBytes(files: readonly FileSpec[]): number {
  return files.reduce((sum, file) => sum + contentBytes(file), 0);
}

function interactorOf(
  { interactor }: JudgeRequest,
  { programOf }: JudgeContext,
): InteractorSpec | null {
  if (interactor === undefined) return null;
  return {
    protocol: interactor.protocol ?? 'testlib',
    program: programOf(interactor, 'judge.interactor'),
  };
}

function checkerOf(judge: JudgeRequest, { programOf }: JudgeContext): CheckerSpec {
  const checker = judge.checker ?? { kind: 'lines' };
  if (checker.kind === 'floats') {
    const { absolute, relative } = checker;
    const neither = absolute === undefined && relative === undefined;
    return {
      kind: 'floats',
      absolute: absolute ?? (neither ? TOLERANCE : 0),
      relative: relative ?? (neither ? TOLERANCE : 0),
    };
  }
  if (checker.kind === 'program') {
    return {
      kind: 'program',
      protocol: checker.protocol ?? 'testlib',
      program: programOf(checker, 'judge.checker'),
    };
  }
  return { kind: checker.kind };
}
