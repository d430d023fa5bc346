/** One test: a fresh box on the submission's layer, its verdict, and what is reported of it. */
import { decodeContent } from '../../../services/contract/encoding.js';
import type { TestResult } from '../../../services/contract/job.js';
import type { JudgeSpec, TestSpec } from '../../../services/contract/judge-spec.js';
import {
  passed,
  verdictOfEnding,
  type Check,
  type Judgement,
  type Verdict,
} from '../../../services/contract/judging.js';
import { epochMs } from '../../../services/platform/clock.js';
import type { RunObserver } from '../../../services/platform/run-telemetry.js';
import type { BoxAhead } from '../box-ahead.js';
import { withBox } from '../box-use.js';
import { readSlice } from '../collected-files.js';
import type { BoxSpec, Memory, Sandbox, StepEnd, StreamName } from '../sandbox.js';
import { stepReport } from '../step-report.js';
import { stepResult, type FullStepResult } from '../step-result.js';
import { createCappedOutput, INLINE_ONLY } from './capped-output.js';
import { checkOutput, type Checker } from './check.js';
import type { Cores } from './cores.js';
import { checkWritten, runStep, type Program } from './program.js';
import { runInteractiveTest, type Interactor } from './run-interactive-test.js';

export interface TestContext {
  readonly sandbox: Sandbox;
  /** For the tests, of which the next is known while one runs. */
  readonly boxes: BoxAhead;
  readonly cores: Cores;
  readonly judge: JudgeSpec;
  readonly program: Program;
  readonly checker: Checker;
  /** In place of the checker, where there is one. */
  readonly interactor: Interactor | null;
  readonly truncateOutput: boolean;
  readonly signal: AbortSignal;
  readonly observer: RunObserver;
}

export interface TestRun {
  readonly result: TestResult;
  readonly boxUs: number;
}

/** Null: it was cancelled. With `next`, that is the test whose box is made meanwhile. */
export async function runTest(
  context: TestContext,
  index: number,
  next: number | null,
): Promise<TestRun | null> {
  const { judge, signal } = context;
  const test = judge.tests[index];
  if (test === undefined) throw new Error(`there is no test ${index}`);
  const { interactor } = context;
  if (interactor !== null) return await runInteractiveTest({ ...context, interactor }, test, index);
  const { end, stderr } = await runProgram(context, test, judge.tests[next ?? -1]);
  const { kept } = end;
  try {
    if (kept === undefined) throw new Error('a step without its output');
    if (end.outcome === 'cancelled' || signal.aborted) return null;
    const check = await judged(context, test, end, kept);
    const verdict = check.verdict;
    return {
      boxUs: end.boxUs,
      result: {
        index,
        name: test.name,
        group: test.group,
        verdict,
        points: test.points * check.score,
        message: check.message,
        run: await report(judge, verdict, end, kept, stderr),
      },
    };
  } finally {
    kept?.close();
  }
}

function boxOf(program: Program, { limits }: TestSpec, alone: boolean): BoxSpec {
  const { image } = program.spec;
  const { diskBytes, files } = limits;
  return { image, layer: program.layer, diskBytes, files, alone };
}

async function runProgram(context: TestContext, test: TestSpec, next: TestSpec | undefined) {
  const { boxes, cores, judge, program, signal, observer } = context;
  const { limits } = test;
  const stderr = createCappedOutput(judge.report.stdoutBytes);
  const files = [
    ...program.files,
    ...test.files.map((file) => ({
      path: file.path,
      mode: file.mode,
      content: decodeContent(file),
    })),
  ];
  const step = {
    ...runStep(program.spec, limits, test.args ?? program.spec.args),
    stdin: decodeContent(test.stdin),
    truncateOutput: context.truncateOutput,
    keepStdout: true,
  };
  const alone = judge.timing === 'exclusive';
  const giveBack = alone ? await cores.take(signal) : null;
  const using = withBox(boxes, boxOf(program, test, alone), signal, async (open) => {
    const written = files.length === 0 ? null : open.put(files);
    const askedMs = epochMs();
    const ending = open.step(step, stderr.add);
    // Nothing is made beside a test that is timed alone.
    if (next !== undefined && !alone) boxes.prepare(boxOf(program, next, alone));
    if (written !== null) checkWritten(await written, files);
    const end = await ending;
    observer.step(stepReport('run', program.spec.image, askedMs, end));
    return { end, stderr };
  });
  return await using.finally(() => giveBack?.());
}

async function judged(
  { sandbox, checker, signal }: TestContext,
  test: TestSpec,
  end: StepEnd,
  kept: Memory,
): Promise<Judgement> {
  const verdict = verdictOfEnding(end);
  if (verdict !== null) return { verdict, message: '', score: 0 };
  const check: Check = await checkOutput(sandbox, checker, test, kept, signal);
  return check;
}

/** Which streams the client is shown, and how much of them. */
async function report(
  { report: { on, stdoutBytes } }: JudgeSpec,
  verdict: Verdict,
  end: StepEnd,
  kept: Memory,
  stderr: ReturnType<typeof createCappedOutput>,
): Promise<FullStepResult> {
  const wanted = on === 'all' || (on === 'failed' && !passed({ verdict }));
  const bytes = wanted ? Math.min(stdoutBytes, kept.bytes) : 0;
  const stdout = await readSlice({ fd: kept.fd, at: 0, bytes });
  const chunks = { stdout: [stdout], stderr: wanted ? [stderr.bytesOf('stderr')] : [] };
  const output = {
    add: () => undefined,
    bytesOf: (stream: StreamName) => Buffer.concat(chunks[stream]),
    chunksOf: (stream: StreamName) => chunks[stream],
  };
  const result = await stepResult(end, output, INLINE_ONLY);
  return {
    ...result,
    stdoutTruncated: result.stdoutTruncated || bytes < kept.bytes,
    stderrTruncated: result.stderrTruncated || stderr.cut('stderr'),
  };
}
