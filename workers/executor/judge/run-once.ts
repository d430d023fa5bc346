/** One run of the program that is graded: a fresh box on its layer, and what came of it as a line for the harness. */
import { decodeContent, encodeContent } from '../../../services/contract/encoding.js';
import { GRADE_CAPS, type GradeRun } from '../../../services/contract/grading.js';
import { epochMs } from '../../../services/platform/clock.js';
import type { RunObserver } from '../../../services/platform/run-telemetry.js';
import { withBox } from '../box-use.js';
import { errnoText, signalName } from '../errno.js';
import type { Sandbox, StepEnd, StreamName } from '../sandbox.js';
import { stepReport } from '../step-report.js';
import { createCappedOutput } from './capped-output.js';
import { runStep, type Program } from './program.js';

export interface OnceContext {
  readonly sandbox: Sandbox;
  readonly program: Program;
  readonly truncateOutput: boolean;
  readonly signal: AbortSignal;
  readonly observer: RunObserver;
  /** Each run, as it ended. */
  readonly ran: (end: StepEnd) => void;
}

type Answer = { readonly line: Buffer } | { readonly wrong: string };

/** Null: the harness had ended, and the run with it. */
export async function runOnce(
  context: OnceContext,
  run: GradeRun,
  over: AbortSignal,
): Promise<Answer | null> {
  const { sandbox, program, truncateOutput, signal, observer, ran } = context;
  const isOver = (): boolean => over.aborted;
  if (isOver()) return null;
  const { image } = program.spec;
  const { diskBytes, files: filesMax } = run.limits;
  const box = { image, layer: program.layer, diskBytes, files: filesMax };
  const own = run.files.map((file) => ({
    path: file.path,
    mode: file.mode,
    content: decodeContent(file),
  }));
  const files = [...program.files, ...own];
  const step = { ...runStep(program.spec, run.limits, run.args), stdin: run.stdin, truncateOutput };
  const output = createCappedOutput(GRADE_CAPS.answerBytes);
  try {
    return await withBox(sandbox, box, AbortSignal.any([signal, over]), async (open) => {
      const put = files.length === 0 ? null : await open.put(files);
      if (put !== null) {
        const path = files[put.index]?.path ?? `file ${put.index}`;
        return { wrong: `${path} cannot be written: ${errnoText(put.errno)}` };
      }
      const askedMs = epochMs();
      const end = await open.step(step, output.add);
      observer.step(stepReport('run', image, askedMs, end));
      ran(end);
      if (isOver()) return null;
      return { line: Buffer.from(`${JSON.stringify(answerOf(end, output))}\n`) };
    });
  } catch (thrown) {
    signal.throwIfAborted();
    // A box that was still being made when the harness ended.
    if (isOver()) return null;
    throw thrown;
  }
}

const US_PER_MS = 1_000;

function answerOf(end: StepEnd, output: ReturnType<typeof createCappedOutput>) {
  const stream = (name: StreamName, truncated: boolean) => {
    const { content, encoding } = encodeContent(output.bytesOf(name));
    return {
      [name]: content,
      [`${name}Encoding`]: encoding,
      [`${name}Truncated`]: truncated || output.cut(name),
    };
  };
  return {
    outcome: end.outcome,
    exitCode: end.exitCode,
    signal: end.signal === null ? null : signalName(end.signal),
    ...stream('stdout', end.stdoutTruncated),
    ...stream('stderr', end.stderrTruncated),
    usage: {
      cpuTimeMs: end.cpuTimeUs / US_PER_MS,
      wallTimeMs: end.wallTimeUs / US_PER_MS,
      memoryBytesPeak: end.memoryBytesPeak,
    },
  };
}
