/**
 * The story of a judge job. Its first task compiles the submission and the checker and says which slices of tests
 * come next. A slice runs its tests one by one, each in a box of its own; one that takes long gives the rest of its
 * tests back, so that a killed executor costs little and other tenants have their turn.
 */
import { toFault, SandboxFault } from '../../../services/contract/faults.js';
import { testEventOf, type TestResult } from '../../../services/contract/job.js';
import type { JobSpec } from '../../../services/contract/job-spec.js';
import type { JudgeSpec, ProgramSpec } from '../../../services/contract/judge-spec.js';
import { isSkipped, passed, type Judged } from '../../../services/contract/judging.js';
import type {
  Bill,
  Task,
  TaskPart,
  TaskResult,
  TaskWork,
} from '../../../services/contract/task.js';
import { NO_LIVE, type LiveRun } from '../../../services/platform/live-run.js';
import { NO_OBSERVER, type RunObserver } from '../../../services/platform/run-telemetry.js';
import { createBoxAhead } from '../box-ahead.js';
import type { RunTask } from '../run-task.js';
import type { Checker } from './check.js';
import type { Cores } from './cores.js';
import { prepareProgram, type PrepareContext, type Program, type ProgramDeps } from './program.js';
import type { Interactor } from './run-interactive-test.js';
import { runTest } from './run-test.js';
import { firstSlices, SLICE_MS_MAX, slicesOf } from './slices.js';

const US_PER_MS = 1_000;

interface Story {
  readonly deps: JudgeDeps;
  readonly task: Task;
  readonly judge: JudgeSpec;
  readonly context: PrepareContext;
  readonly live: LiveRun;
  boxUs: number;
}

export interface JudgeDeps extends ProgramDeps {
  /** Of the machine, for tests that are timed alone. */
  readonly cores: Cores;
}

/** Runs judge jobs itself, and leaves all others to `runWhole`. */
export function createRunJudgeTask(deps: JudgeDeps, runWhole: RunTask): RunTask {
  return async function runTask(task, signal, observer = NO_OBSERVER, live = NO_LIVE) {
    const { judge } = task.spec;
    if (judge === null) return await runWhole(task, signal, observer, live);
    const context = { tenantId: task.tenantId, signal, observer };
    const story: Story = { deps, task, judge, context, live, boxUs: 0 };
    if (task.part.kind === 'tests') return await runSlice(story, task.part, signal, observer);
    try {
      return await compileAll(story);
    } catch (thrown) {
      if (signal.aborted) return { status: 'cancelled', work: null };
      return { status: 'fault', fault: toFault(thrown), work: null };
    }
  };
}

/** The submission, as what is compiled once and run often. */
export function programOf(spec: JobSpec): ProgramSpec {
  const { language, image, cwd, files, env, args, limits, compile } = spec;
  if (language === null) throw new Error('a judge job without a language');
  return { language, image, cwd, files, env, args, limits, compile };
}

function workOf(story: Story, more: Partial<TaskWork>): TaskWork {
  const { deps, task, boxUs } = story;
  return {
    compile: null,
    run: null,
    steps: null,
    files: [],
    filesOmitted: [],
    image: deps.imageVersion(task.spec.image),
    boxMs: boxUs / US_PER_MS,
    ...more,
  };
}

async function compileAll(story: Story): Promise<TaskResult> {
  const { deps, judge, context, task, live } = story;
  const aborted = (): boolean => context.signal.aborted;
  const plan = judge.tests.map(({ name, points, group }) => ({ name, points, group }));
  const submission = await prepareProgram(deps, programOf(task.spec), { ...context, live });
  submission.program?.release();
  story.boxUs += submission.boxUs;
  if (aborted()) return { status: 'cancelled', work: null };
  const { compile } = submission;
  if (submission.program === null) {
    return { status: 'finished', work: workOf(story, { compile, plan }) };
  }
  const broken = (await troubleOf(story, 'checker')) ?? (await troubleOf(story, 'interactor'));
  if (aborted()) return { status: 'cancelled', work: null };
  if (broken !== null) {
    const results = judge.tests.map((_, index) => faulty(judge, index, broken));
    const tests = { from: 0, results };
    return { status: 'finished', work: workOf(story, { compile, plan, tests }) };
  }
  return {
    status: 'finished',
    work: workOf(story, { compile, plan }),
    next: { parts: firstSlices(judge), parallel: judge.parallel },
  };
}

/** The judge's own program, or null: it has none. */
function programOfJudge({ checker, interactor }: JudgeSpec, who: 'checker' | 'interactor') {
  if (who === 'interactor') return interactor;
  return checker.kind === 'program' ? checker : null;
}

/** Why the program cannot be used, or null. */
async function troubleOf(story: Story, who: 'checker' | 'interactor'): Promise<string | null> {
  const { deps, judge, context } = story;
  const wanted = programOfJudge(judge, who);
  if (wanted === null) return null;
  const { program, compile, boxUs } = await prepareProgram(deps, wanted.program, context);
  program?.release();
  story.boxUs += boxUs;
  const said = typeof compile?.stderr === 'string' ? compile.stderr.slice(0, 1_000) : '';
  return program === null ? `the ${who} does not compile: ${said}` : null;
}

function faulty(judge: JudgeSpec, index: number, message: string): TestResult {
  const { name = '', group = null } = judge.tests[index] ?? {};
  return { index, name, group, verdict: 'judge_fault', points: 0, message, run: null };
}

/** By the kernel's figures of the runs; a checker is the judge's, and not billed. */
function billOfTests(results: readonly TestResult[]): Bill {
  const bill = { cpuMs: 0, memoryByteMs: 0 };
  for (const { run } of results) {
    bill.cpuMs += run?.usage.cpuTimeMs ?? 0;
    bill.memoryByteMs += (run?.usage.memoryBytesPeak ?? 0) * (run?.usage.wallTimeMs ?? 0);
  }
  return bill;
}

type Slice = Extract<TaskPart, { kind: 'tests' }>;

async function runSlice(
  story: Story,
  slice: Slice,
  signal: AbortSignal,
  observer: RunObserver,
): Promise<TaskResult> {
  const { judge } = story;
  const { sandbox, cores } = story.deps;
  const boxes = createBoxAhead(sandbox);
  const results: TestResult[] = [];
  const done: (Judged | undefined)[] = [];
  const add = (result: TestResult): void => {
    results.push(result);
    story.live.tested(testEventOf(result));
  };
  const work = (): TaskWork =>
    workOf(story, {
      tests: { from: slice.from, results: [...results], bill: billOfTests(results) },
    });
  const restFrom = (index: number, perTestMs: number): TaskResult => ({
    status: 'finished',
    work: work(),
    next: { parts: slicesOf(index, slice.to, perTestMs), parallel: judge.parallel },
  });
  const sinceMs = performance.now();
  const perTestMs = (): number => (performance.now() - sinceMs) / Math.max(1, results.length);
  let held: Held | null = null;
  try {
    held = await prepareAll(story);
    for (let index = slice.from; index < slice.to; index += 1) {
      if (results.length > 0 && performance.now() - sinceMs > SLICE_MS_MAX) {
        return restFrom(index, perTestMs());
      }
      if (isSkipped(judge.stopOn, judge.tests, index, done)) {
        add({ ...faulty(judge, index, ''), verdict: 'skipped' });
        continue;
      }
      const next = index + 1 < slice.to ? index + 1 : null;
      const run = await runTest(
        { ...held, sandbox, boxes, cores, judge, signal, observer },
        index,
        next,
      );
      if (run === null) break;
      story.boxUs += run.boxUs;
      add(run.result);
      done[index] = run.result;
      if (judge.stopOn === 'first_failure' && !passed(run.result)) {
        return { status: 'finished', work: work(), stop: true };
      }
    }
  } catch (thrown) {
    if (!signal.aborted) {
      // What is done stays done; the test that faulted is the first of its own slice, whose runs are counted.
      if (results.length > 0) return restFrom(slice.from + results.length, perTestMs());
      return { status: 'fault', fault: toFault(thrown), work: null };
    }
  } finally {
    await boxes.close();
    held?.release();
  }
  if (signal.aborted) return { status: 'cancelled', work: results.length > 0 ? work() : null };
  return { status: 'finished', work: work() };
}

interface Held {
  readonly program: Program;
  readonly checker: Checker;
  readonly interactor: Interactor | null;
  readonly truncateOutput: boolean;
  release(): void;
}

/** From the cache, or once more where another executor did the compiling. */
async function prepareAll(story: Story): Promise<Held> {
  const { deps, task, judge, context } = story;
  const held: Program[] = [];
  const release = (): void => held.splice(0).forEach((program) => program.release());
  try {
    const program = await prepareAgain(programOf(task.spec));
    const { checker, interactor } = judge;
    return {
      program,
      checker:
        checker.kind === 'program'
          ? { ...checker, program: await prepareAgain(checker.program) }
          : { kind: 'built_in', spec: checker },
      interactor:
        interactor === null
          ? null
          : { ...interactor, program: await prepareAgain(interactor.program) },
      truncateOutput: task.spec.onOutputLimit === 'truncate',
      release,
    };
  } catch (error) {
    release();
    throw error;
  }

  async function prepareAgain(spec: ProgramSpec): Promise<Program> {
    const prepared = await prepareProgram(deps, spec, context);
    story.boxUs += prepared.boxUs;
    if (prepared.program === null) {
      const detail = 'what compiled before does not compile any more';
      throw new SandboxFault({ stage: 'executor', detail });
    }
    held.push(prepared.program);
    return prepared.program;
  }
}
