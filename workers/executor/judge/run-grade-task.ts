/**
 * The story of a grade job: its program is compiled, then the harness, which alone knows the tests, has the program run
 * as often as it likes and writes the grade. What it has said stays when it fails later, with a judge_fault behind.
 */
import { toFault } from '../../../services/contract/faults.js';
import { faultResult, type GradeResult } from '../../../services/contract/grading.js';
import { testEventOf, type TestResult } from '../../../services/contract/job.js';
import type { ProgramSpec } from '../../../services/contract/judge-spec.js';
import type { TestPlan } from '../../../services/contract/judging.js';
import type { Bill, Task, TaskWork } from '../../../services/contract/task.js';
import { NO_LIVE, type LiveRun } from '../../../services/platform/live-run.js';
import { NO_OBSERVER, type RunObserver } from '../../../services/platform/run-telemetry.js';
import type { RunTask } from '../run-task.js';
import type { StepEnd } from '../sandbox.js';
import {
  prepareProgram,
  type CompileResult,
  type PrepareContext,
  type Program,
  type ProgramDeps,
} from './program.js';
import { runHarness } from './run-harness.js';
import { programOf } from './run-judge-task.js';

const US_PER_MS = 1_000;

/** What there is of the grade by now. */
interface Sheet {
  readonly plan: TestPlan[];
  readonly results: TestResult[];
  readonly bill: Bill;
  compile: CompileResult | null;
  boxUs: number;
}

interface Story {
  readonly deps: ProgramDeps;
  readonly task: Task;
  readonly harness: ProgramSpec;
  readonly signal: AbortSignal;
  readonly observer: RunObserver;
  readonly live: LiveRun;
  readonly sheet: Sheet;
}

/** Runs grade jobs itself, and leaves all others to `runOther`. */
export function createRunGradeTask(deps: ProgramDeps, runOther: RunTask): RunTask {
  return async function runTask(task, signal, observer = NO_OBSERVER, live = NO_LIVE) {
    const harness = task.spec.grade;
    if (harness === null) return await runOther(task, signal, observer, live);
    const bill = { cpuMs: 0, memoryByteMs: 0 };
    const sheet: Sheet = { plan: [], results: [], bill, compile: null, boxUs: 0 };
    const story: Story = { deps, task, harness, signal, observer, live, sheet };
    try {
      await grade(story);
      if (!signal.aborted) return { status: 'finished', work: workOf(story) };
    } catch (thrown) {
      if (!signal.aborted) return { status: 'fault', fault: toFault(thrown), work: begun(story) };
    }
    return { status: 'cancelled', work: begun(story) };
  };
}

/** In the order of their names: a program that does not compile never meets the harness. */
async function grade(story: Story): Promise<void> {
  const { deps, task, harness, signal, observer, live, sheet } = story;
  const context = { tenantId: task.tenantId, signal, observer };
  const held: Program[] = [];
  const prepare = async (spec: ProgramSpec, more: Pick<PrepareContext, 'live'>) => {
    const prepared = await prepareProgram(deps, spec, { ...context, ...more });
    sheet.boxUs += prepared.boxUs;
    if (prepared.program !== null) held.push(prepared.program);
    return prepared;
  };
  try {
    const submission = await prepare(programOf(task.spec), { live });
    sheet.compile = submission.compile;
    if (submission.program === null) return;
    const { program, compile } = await prepare(harness, {});
    if (program === null) {
      const said = typeof compile?.stderr === 'string' ? compile.stderr.slice(0, 1_000) : '';
      add(story, faultResult(`the harness does not compile: ${said}`));
      return;
    }
    const { fault, end } = await runHarness({
      ...{ sandbox: deps.sandbox, signal, observer },
      program: submission.program,
      harness: program,
      truncateOutput: task.spec.onOutputLimit === 'truncate',
      ran: (run) => charge(sheet, run),
      add: (graded) => add(story, graded),
    });
    charge(sheet, end);
    if (fault !== null && !signal.aborted) add(story, faultResult(fault));
  } finally {
    for (const program of held) program.release();
  }
}

function add({ sheet, live }: Story, { plan, result }: GradeResult): void {
  const test = { ...result, index: sheet.results.length, group: null, run: null };
  sheet.plan.push(plan);
  sheet.results.push(test);
  live.tested(testEventOf(test));
}

/** A harness does what a client's own program would do: its time is billed like the program's. */
function charge(sheet: Sheet, end: StepEnd): void {
  const { bill } = sheet;
  bill.cpuMs += end.cpuTimeUs / US_PER_MS;
  bill.memoryByteMs += (end.memoryBytesPeak * end.wallTimeUs) / US_PER_MS;
  sheet.boxUs += end.boxUs;
}

/** Null: nothing has run. */
function begun(story: Story): TaskWork | null {
  const { compile, boxUs } = story.sheet;
  return compile === null && boxUs === 0 ? null : workOf(story);
}

function workOf({ deps, task, sheet }: Story): TaskWork {
  const { plan, results, bill, compile, boxUs } = sheet;
  return {
    compile,
    run: null,
    steps: null,
    files: [],
    filesOmitted: [],
    plan,
    tests: { from: 0, results, bill },
    image: deps.imageVersion(task.spec.image),
    boxMs: boxUs / US_PER_MS,
  };
}
