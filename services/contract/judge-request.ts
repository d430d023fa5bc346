/** The part of a job request that makes it a judge job: tests, and how they are judged. Shapes only. */
import { z } from 'zod';
import { encodingSchema } from './encoding.js';
import { argumentSchema, contentSchema, envSchema, fileSchema } from './request-parts.js';
import { LANGUAGE_NAMES } from './languages.js';
import { limitsRequestSchema } from './limits.js';

export const JUDGE_CAPS = {
  tests: 1_000,
  /** Of all tests together: inputs, expected outputs, files. */
  testsBytes: 16 * 1024 * 1024,
  parallel: 64,
  points: 1_000_000,
  reportBytes: 16 * 1024,
} as const;

export const JUDGE_DEFAULTS = { parallel: 4, points: 1, reportBytes: 4_096 } as const;

export const nameSchema = z.string().regex(/^[^\p{Cc}\p{Surrogate}]{1,128}$/u, {
  error: 'must be 1 to 128 characters without control characters',
});

const pointsError = `must be from 0 to ${JUDGE_CAPS.points}`;
export const pointsSchema = z
  .number({ error: pointsError })
  .min(0, { error: pointsError })
  .max(JUDGE_CAPS.points, { error: pointsError });

export const testRequestSchema = z.strictObject({
  name: nameSchema.optional().describe('Default: its place, from 1.'),
  stdin: contentSchema.optional(),
  stdinEncoding: encodingSchema.optional(),
  expectedStdout: contentSchema
    .optional()
    .describe('What the checker compares with. Without it, a test is passed by exiting with 0.'),
  expectedStdoutEncoding: encodingSchema.optional(),
  args: z.array(argumentSchema).optional(),
  files: z.array(fileSchema).optional(),
  limits: limitsRequestSchema().optional(),
  points: pointsSchema.optional().describe('Default: 1.'),
  group: nameSchema.optional().describe('Tests of a group give points only if all of them pass.'),
});

export type TestRequest = z.output<typeof testRequestSchema>;

/** A program of the judge's own, in a box of its own: checker, interactor, harness. */
const programShape = {
  language: z.enum(LANGUAGE_NAMES, { error: `must be one of ${LANGUAGE_NAMES.join(', ')}` }),
  source: contentSchema.optional(),
  files: z.array(fileSchema).default([]),
  args: z.array(argumentSchema).optional(),
  env: envSchema.optional(),
  limits: limitsRequestSchema().optional(),
  compile: z
    .strictObject({
      args: z.array(argumentSchema).optional(),
      limits: limitsRequestSchema().optional(),
    })
    .optional(),
};

export const PROTOCOLS = ['testlib', 'domjudge'] as const;

const toleranceError = 'must be from 0 to 1';
const toleranceSchema = z
  .number({ error: toleranceError })
  .min(0, { error: toleranceError })
  .max(1, { error: toleranceError });

export const checkerRequestSchema = z.discriminatedUnion(
  'kind',
  [
    z.strictObject({ kind: z.literal('exact') }).describe('Byte by byte.'),
    z
      .strictObject({ kind: z.literal('lines') })
      .describe('Without blanks at the ends of lines, and empty lines at the end.'),
    z.strictObject({ kind: z.literal('tokens') }).describe('Words, whatever is between them.'),
    z
      .strictObject({
        kind: z.literal('floats'),
        absolute: toleranceSchema.optional(),
        relative: toleranceSchema.optional(),
      })
      .describe('Tokens; numbers may differ by either tolerance.'),
    z.strictObject({ kind: z.literal('unordered_lines') }).describe('Lines in any order.'),
    z
      .strictObject({
        kind: z.literal('program'),
        protocol: z.enum(PROTOCOLS, { error: `must be one of ${PROTOCOLS.join(', ')}` }).optional(),
        ...programShape,
      })
      .describe('A program that is given input, output and answer as files.'),
  ],
  { error: 'must be one of exact, lines, tokens, floats, unordered_lines, program' },
);

export const interactorRequestSchema = z
  .strictObject({
    protocol: z.enum(PROTOCOLS, { error: `must be one of ${PROTOCOLS.join(', ')}` }).optional(),
    ...programShape,
  })
  .describe(
    'A program that talks to the submission: what either writes is what the other reads. It alone is given input and ' +
      'answer, and says what came of it as a checker does.',
  );

export const gradeRequestSchema = z
  .strictObject(programShape)
  .describe(
    "A harness: a program that has the job's program run as often as it says, each time in a box of its own, and alone " +
      'writes the grade (docs/judging.md).',
  );

export const STOP_ON = ['never', 'first_failure', 'group_failure'] as const;
export const REPORT_ON = ['failed', 'all', 'none'] as const;
export const TIMINGS = ['shared', 'exclusive'] as const;

const parallelError = `must be from 1 to ${JUDGE_CAPS.parallel}`;
const reportError = `must be from 0 to ${JUDGE_CAPS.reportBytes} bytes`;

export const judgeRequestSchema = z.strictObject({
  stopOn: z.enum(STOP_ON, { error: `must be one of ${STOP_ON.join(', ')}` }).optional(),
  parallel: z
    .number({ error: parallelError })
    .int({ error: parallelError })
    .min(1, { error: parallelError })
    .max(JUDGE_CAPS.parallel, { error: parallelError })
    .optional()
    .describe('Slices of tests that may run at once. Default: 4.'),
  checker: checkerRequestSchema.optional().describe('Default: lines.'),
  interactor: interactorRequestSchema.optional(),
  timing: z
    .enum(TIMINGS, { error: `must be one of ${TIMINGS.join(', ')}` })
    .optional()
    .describe('exclusive: each test has a core alone. Default: shared.'),
  report: z
    .strictObject({
      on: z.enum(REPORT_ON, { error: `must be one of ${REPORT_ON.join(', ')}` }).optional(),
      stdoutBytes: z
        .number({ error: reportError })
        .int({ error: reportError })
        .min(0, { error: reportError })
        .max(JUDGE_CAPS.reportBytes, { error: reportError })
        .optional(),
      transcript: z
        .boolean()
        .optional()
        .describe('With interactor: what was said, and by whom. It counts as output then.'),
    })
    .optional()
    .describe('Of which tests the streams are returned, and how much of them.'),
});

export type JudgeRequest = z.output<typeof judgeRequestSchema>;
export type CheckerRequest = z.output<typeof checkerRequestSchema>;
export type ProgramRequest = Omit<
  Extract<CheckerRequest, { kind: 'program' }>,
  'kind' | 'protocol'
>;
