/**
 * A harness in its box, and what it asks for: a line that says "run" makes a box for the program, which is gone when the
 * line with its answer is written; a line that says "result" is a line of the grade. Between the two boxes there is
 * nothing but what is copied here: neither has a descriptor, a layer or a process of the other's.
 */
import {
  createSaidParser,
  faultOfHarness,
  GRADE_CAPS,
  type GradeResult,
} from '../../../services/contract/grading.js';
import { createRunActions } from '../act-on-run.js';
import { withBox } from '../box-use.js';
import type { Box, StepEnd } from '../sandbox.js';
import { createCappedOutput } from './capped-output.js';
import { MESSAGE_BYTES_MAX, textOf } from './check.js';
import { createHarnessLines, type HarnessLines } from './harness-lines.js';
import { checkWritten, runStep, type Program } from './program.js';
import { runOnce, type OnceContext } from './run-once.js';

export interface HarnessContext extends OnceContext {
  readonly harness: Program;
  readonly add: (graded: GradeResult) => void;
}

export interface HarnessEnd {
  /** Null: what it said is the grade. */
  readonly fault: string | null;
  readonly end: StepEnd;
}

export async function runHarness(context: HarnessContext): Promise<HarnessEnd> {
  const { sandbox, harness, signal } = context;
  const { spec, layer, files } = harness;
  const { limits } = spec;
  const box = { image: spec.image, layer, diskBytes: limits.diskBytes, files: limits.files };
  const step = {
    ...runStep(spec, limits, spec.args),
    stdin: Buffer.alloc(0),
    truncateOutput: false,
    interactive: true,
  };
  return await withBox(sandbox, box, signal, async (open) => {
    open.follow();
    if (files.length > 0) checkWritten(await open.put(files), files);
    const lines = createHarnessLines();
    const stderr = createCappedOutput(MESSAGE_BYTES_MAX);
    const over = new AbortController();
    const ending = open
      .step(step, (stream, chunk) => {
        if (stream === 'stdout') lines.add(chunk);
        else stderr.add(stream, chunk);
      })
      .finally(() => {
        lines.end();
        over.abort();
      });
    // Whoever awaits it below hears of it; a run that faults meanwhile is told first.
    ending.catch(() => undefined);
    const talk = await converse(context, open, lines, over.signal);
    // One that has broken the rules is ended; one that has ended by itself says best why.
    const stopped = talk.wrong !== null && !over.signal.aborted;
    if (stopped) open.cancel();
    const end = await ending;
    const broken = stopped ? null : faultOfHarness(end, textOf(stderr.bytesOf('stderr')));
    const nothing = talk.results === 0 ? 'the harness gave no result' : null;
    return { end, fault: broken ?? talk.wrong ?? nothing };
  });
}

interface Talk {
  readonly results: number;
  /** What it said that it must not say. */
  readonly wrong: string | null;
}

const CLOSING = {
  'too long': `the harness wrote a line of more than ${GRADE_CAPS.lineBytes} bytes`,
  unfinished: 'the harness ended in the middle of a line',
  end: null,
} as const;

async function converse(
  context: HarnessContext,
  box: Box,
  lines: HarnessLines,
  over: AbortSignal,
): Promise<Talk> {
  const parse = createSaidParser(context.program.spec);
  const actions = createRunActions(box);
  const ended = new Promise<void>((resolve) => {
    over.addEventListener('abort', () => resolve(), { once: true });
  });
  let runs = 0;
  let results = 0;
  for (let number = 1; ; number += 1) {
    const line = await lines.next();
    if (typeof line === 'string') return { results, wrong: CLOSING[line] };
    const said = parse(line);
    const wrong = (why: string): Talk => ({
      results,
      wrong: `line ${number} of the harness: ${why}`,
    });
    if (said.kind === 'wrong') return wrong(said.why);
    if (said.kind === 'result') {
      if (results === GRADE_CAPS.results) return wrong(`more than ${GRADE_CAPS.results} results`);
      results += 1;
      context.add(said.graded);
      continue;
    }
    runs += 1;
    if (runs > GRADE_CAPS.runs) return wrong(`more than ${GRADE_CAPS.runs} runs`);
    const answer = await runOnce(context, said.run, over);
    if (answer === null) return wrong('it ended before the run was answered');
    if ('wrong' in answer) return wrong(answer.wrong);
    // One that does not read what it has asked for is ended by its own time.
    await Promise.race([actions.feed(answer.line).catch(() => undefined), ended]);
  }
}
