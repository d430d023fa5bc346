/**
 * A result is kept in parts, so that a reader who asked for `include=` little reads little: a light
 * part with everything but the streams and files, and one part for each of those.
 */
import { z } from 'zod';
import {
  collectedFileSchema,
  compileResultSchema,
  namedStepResultSchema,
  omittedFileSchema,
  stepResultSchema,
  streamSchema,
  testResultSchema,
  type CollectedFile,
  type CompileResult,
  type NamedStepResult,
  type OmittedFile,
  type StepResult,
  type StreamContent,
  type TestResult,
} from '../contract/job.js';
import { testPlanSchema, type TestPlan } from '../contract/judging.js';
import type { TaskWork } from '../contract/task.js';

export const RESULT_PARTS = ['light', 'stdout', 'stderr', 'files'] as const;
export type ResultPart = (typeof RESULT_PARTS)[number];

const lightSchema = z.strictObject({
  compile: compileResultSchema.nullable(),
  run: stepResultSchema.nullable(),
  steps: z.array(namedStepResultSchema).nullable(),
  filesOmitted: z.array(omittedFileSchema),
});

const streamsSchema = z.strictObject({
  compile: streamSchema.nullable(),
  run: streamSchema.nullable(),
  steps: z.array(streamSchema).nullable(),
});

// To make a schema takes longer than to use it.
const filesSchema = z.array(collectedFileSchema);
const sliceSchema = z.array(testResultSchema);
const plansSchema = z.array(testPlanSchema);

type Stream = 'stdout' | 'stderr';

export interface ResultView {
  readonly compile: CompileResult | null;
  readonly run: StepResult | null;
  readonly steps: NamedStepResult[] | null;
  readonly files?: CollectedFile[];
  readonly filesOmitted: OmittedFile[];
  /** Of a judge job. */
  readonly judged?: JudgedView;
}

export interface JudgedView {
  readonly plan: readonly TestPlan[];
  /** Those that have a result, in the order of the request. */
  readonly tests: TestResult[];
}

const slicePrefix = 'tests:';

/** The field of a result that holds a slice of tests; written once, by whoever ends that slice. */
export function slicePart(from: number): `tests:${number}` {
  return `${slicePrefix}${from}`;
}

/** The field that says which tests a judge job has. */
export const PLAN_PART = 'plan';

/** What a task writes into its job's result: a slice its tests, everything else its parts. */
export function resultFields(work: TaskWork): Record<string, string> {
  const { tests, plan } = work;
  const slice =
    tests === undefined ? {} : { [slicePart(tests.from)]: JSON.stringify(tests.results) };
  if (tests !== undefined && plan === undefined) return slice;
  const tail = plan === undefined ? {} : { [PLAN_PART]: JSON.stringify(plan) };
  return { ...splitWork(work), ...tail, ...slice };
}

export function splitWork(work: TaskWork): Record<ResultPart, string> {
  // JSON leaves out what is undefined.
  const withoutStreams = <T extends object>(step: T) => ({
    ...step,
    stdout: undefined,
    stderr: undefined,
  });
  const streams = (name: Stream): z.infer<typeof streamsSchema> => ({
    compile: work.compile?.[name] ?? null,
    run: work.run?.[name] ?? null,
    steps: work.steps?.map((step) => step[name]) ?? null,
  });
  return {
    light: JSON.stringify({
      compile: work.compile && withoutStreams(work.compile),
      run: work.run && withoutStreams(work.run),
      steps: work.steps?.map((step) => withoutStreams(step)) ?? null,
      filesOmitted: work.filesOmitted,
    }),
    stdout: JSON.stringify(streams('stdout')),
    stderr: JSON.stringify(streams('stderr')),
    files: JSON.stringify(work.files),
  };
}

/** Puts together the parts that were read; `null` for one that was not asked for. */
export function joinParts(parts: Partial<Record<ResultPart, string | null>>): ResultView | null {
  if (typeof parts.light !== 'string') return null;
  const light = lightSchema.parse(JSON.parse(parts.light));
  const stream = (name: Stream) => {
    const text = parts[name];
    return typeof text !== 'string' ? null : streamsSchema.parse(JSON.parse(text));
  };
  const stdout = stream('stdout');
  const stderr = stream('stderr');
  const withStreams = <T extends StepResult>(
    step: T,
    out?: StreamContent | null,
    err?: StreamContent | null,
  ) => ({
    ...step,
    ...(out === undefined || out === null ? {} : { stdout: out }),
    ...(err === undefined || err === null ? {} : { stderr: err }),
  });
  return {
    compile: light.compile && withStreams(light.compile, stdout?.compile, stderr?.compile),
    run: light.run && withStreams(light.run, stdout?.run, stderr?.run),
    steps:
      light.steps?.map((step, i) => withStreams(step, stdout?.steps?.[i], stderr?.steps?.[i])) ??
      null,
    ...(typeof parts.files !== 'string'
      ? {}
      : { files: filesSchema.parse(JSON.parse(parts.files)) }),
    filesOmitted: light.filesOmitted,
  };
}

export function isSlicePart(name: string): boolean {
  return name.startsWith(slicePrefix);
}

export function parseSlice(text: string): TestResult[] {
  return sliceSchema.parse(JSON.parse(text));
}

/** The tests of all slices; streams that were not asked for are left out. */
export function joinTests(
  plan: string,
  fields: Readonly<Record<string, string>>,
  include: (stream: Stream) => boolean,
): JudgedView {
  const tests = Object.entries(fields)
    .filter(([name]) => isSlicePart(name))
    .flatMap(([, text]) => parseSlice(text))
    .sort((left, right) => left.index - right.index)
    .map(({ run, ...test }) => ({ ...test, run: run && withoutUnwanted(run, include) }));
  return { plan: plansSchema.parse(JSON.parse(plan)), tests };
}

function withoutUnwanted(
  { stdout, stderr, ...step }: StepResult,
  include: (stream: Stream) => boolean,
): StepResult {
  return {
    ...step,
    ...(stdout !== undefined && include('stdout') ? { stdout } : {}),
    ...(stderr !== undefined && include('stderr') ? { stderr } : {}),
  };
}
