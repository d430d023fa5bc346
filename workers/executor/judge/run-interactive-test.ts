/**
 * One test of an interactive problem: the submission and the interactor, each in a box of its own, and two pipes
 * between them that are held, so that it is known which of them ended first.
 */
import { decodeContent } from '../../../services/contract/encoding.js';
import type { TestSpec } from '../../../services/contract/judge-spec.js';
import {
  isRefusal,
  judgementOfInteraction,
  passed,
  type Judgement,
} from '../../../services/contract/judging.js';
import { epochMs } from '../../../services/platform/clock.js';
import { runJoined, type Joint, type Member } from '../joined-boxes.js';
import type { Box, SourceFile, StepEnd } from '../sandbox.js';
import { stepReport } from '../step-report.js';
import { stepResult } from '../step-result.js';
import { createCappedOutput, INLINE_ONLY } from './capped-output.js';
import { feedbackOf, MESSAGE_BYTES_MAX, PATHS, textOf } from './check.js';
import { checkWritten, runStep, type Program } from './program.js';
import type { TestContext, TestRun } from './run-test.js';
import { createTranscript } from './transcript.js';

export interface Interactor {
  readonly protocol: 'testlib' | 'domjudge';
  readonly program: Program;
}

export interface InteractiveContext extends TestContext {
  readonly interactor: Interactor;
}

/** So that of two that wait for each other it is the program whose time is up first. */
const PATIENCE_MS = 2_000;
const PROGRAM = 0;
const INTERACTOR = 1;
const EMPTY = Buffer.alloc(0);

/** Null: it was cancelled. */
export async function runInteractiveTest(
  context: InteractiveContext,
  test: TestSpec,
  index: number,
): Promise<TestRun | null> {
  const { judge, signal, interactor, program, observer } = context;
  const { report } = judge;
  const transcript = report.transcript ? createTranscript(report.stdoutBytes) : null;
  const said = createCappedOutput(MESSAGE_BYTES_MAX);
  const stderr = createCappedOutput(report.stdoutBytes);
  const members = [programOf(context, test, stderr.add), interactorOf(context, test, said.add)];
  const askedMs = epochMs();
  const joined = {
    sandbox: context.sandbox,
    members,
    joints: jointsOf(transcript),
    signal,
    written: (member: number, end: Parameters<typeof checkWritten>[0]) =>
      checkWritten(end, members[member]?.files ?? []),
    ended: (member: number, end: StepEnd, boxes: readonly Box[]) => {
      if (member === INTERACTOR && isRefusal(interactor.protocol, end)) boxes[PROGRAM]?.cancel();
    },
  };
  const { ends, message } = await runJoined(joined, async (both, boxes) => ({
    ends: both,
    message:
      (interactor.protocol === 'domjudge' && boxes[INTERACTOR] !== undefined
        ? await feedbackOf(boxes[INTERACTOR], signal)
        : '') || textOf(said.bytesOf('stderr')),
  }));
  const [mine, theirs] = ends;
  if (mine === undefined || theirs === undefined) throw new Error('a side without an end');
  observer.step(stepReport('run', program.spec.image, askedMs, mine));
  if (signal.aborted) return null;
  const judgement = judgementOf(interactor, mine, theirs, message);
  const shown = report.on === 'all' || (report.on === 'failed' && !passed(judgement));
  const run = await stepResult(mine, shown ? stderr : createCappedOutput(0), INLINE_ONLY);
  return {
    boxUs: mine.boxUs + theirs.boxUs,
    result: {
      index,
      name: test.name,
      group: test.group,
      verdict: judgement.verdict,
      points: test.points * judgement.score,
      message: judgement.message,
      run: { ...run, stderrTruncated: run.stderrTruncated || stderr.cut('stderr') },
      ...(transcript === null ? {} : { transcript: shown ? transcript.read() : null }),
    },
  };
}

function judgementOf(
  { protocol }: Interactor,
  program: StepEnd,
  interactor: StepEnd,
  message: string,
): Judgement {
  const programFirst = program.endedAtUs < interactor.endedAtUs;
  return judgementOfInteraction(protocol, { program, interactor, programFirst }, message);
}

function jointsOf(transcript: ReturnType<typeof createTranscript> | null): Joint[] {
  const between = (writer: number, reader: number, by: 'program' | 'interactor'): Joint => ({
    ...{ writer, reader, from: 1, to: 0, held: true },
    onPassed: transcript === null ? null : (chunk) => transcript.add(by, chunk),
  });
  return [between(PROGRAM, INTERACTOR, 'program'), between(INTERACTOR, PROGRAM, 'interactor')];
}

function programOf(
  { program, truncateOutput }: InteractiveContext,
  test: TestSpec,
  onOutput: Member['onOutput'],
): Member {
  const { limits } = test;
  const { image } = program.spec;
  const own = test.files.map((file) => ({
    path: file.path,
    mode: file.mode,
    content: decodeContent(file),
  }));
  const step = runStep(program.spec, limits, test.args ?? program.spec.args);
  return {
    box: { image, layer: program.layer, diskBytes: limits.diskBytes, files: limits.files },
    files: [...program.files, ...own],
    step: { ...step, stdin: EMPTY, truncateOutput },
    onOutput,
  };
}

/** It alone sees input and answer. */
function interactorOf(
  { interactor: { protocol, program } }: InteractiveContext,
  test: TestSpec,
  onOutput: Member['onOutput'],
): Member {
  const { spec } = program;
  const input = decodeContent(test.stdin);
  const answer = decodeContent(test.expectedStdout ?? { content: '', encoding: 'utf8' });
  const files: SourceFile[] = [
    ...program.files,
    { path: PATHS.input, mode: 0o444, content: input },
    { path: PATHS.answer, mode: 0o444, content: answer },
    { path: `${PATHS.feedback}.keep`, mode: 0o444, content: EMPTY },
  ];
  const limits = {
    ...spec.limits,
    diskBytes: spec.limits.diskBytes + 2 * (input.length + answer.length),
    wallTimeMs: Math.max(spec.limits.wallTimeMs, test.limits.wallTimeMs + PATIENCE_MS),
  };
  // The output is a testlib interactor's to write: nobody reads it.
  const paths =
    protocol === 'testlib'
      ? [PATHS.input, PATHS.output, PATHS.answer]
      : [PATHS.input, PATHS.answer, PATHS.feedback];
  const { image } = spec;
  return {
    box: { image, layer: program.layer, diskBytes: limits.diskBytes, files: limits.files },
    files,
    step: {
      ...runStep(spec, limits, [...paths, ...spec.args]),
      stdin: EMPTY,
      truncateOutput: true,
    },
    onOutput,
  };
}
