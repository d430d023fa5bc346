/**
 * The story of a job whose processes run at the same time: a box for each, pipes between them, and what became of
 * each of them. Its boxes are awaited at the end, since there may be as many as a slot has room for.
 */
import { decodeContent } from '../../services/contract/encoding.js';
import { SandboxFault, toFault } from '../../services/contract/faults.js';
import type { JobSpec } from '../../services/contract/job-spec.js';
import { filesOfProcess, type GraphSpec } from '../../services/contract/process-spec.js';
import type { TaskWork } from '../../services/contract/task.js';
import { epochMs } from '../../services/platform/clock.js';
import { NO_OBSERVER } from '../../services/platform/run-telemetry.js';
import { errnoText } from './errno.js';
import { runJoined, type Joint, type JoinedRun, type Member } from './joined-boxes.js';
import { stepSpec } from './plan-task.js';
import { createResultContents, type ResultContents } from './result-contents.js';
import type { RunTask, RunTaskDeps } from './run-task.js';
import type { StepEnd } from './sandbox.js';
import { stepReport } from './step-report.js';
import { createOutput, stepResult, type FollowedOutput } from './step-result.js';

const US_PER_MS = 1_000;

/** Runs graphs itself, and leaves all other jobs to `runOther`. */
export function createRunGraphTask(
  { sandbox, imageVersion, blobs }: Omit<RunTaskDeps, 'extractor'>,
  runOther: RunTask,
): RunTask {
  return async function runTask(task, signal, observer = NO_OBSERVER, live) {
    const { spec, tenantId, jobId } = task;
    const { graph } = spec;
    if (graph === null) return await runOther(task, signal, observer, live);
    const contents = createResultContents({ blobs: blobs.results, tenantId, jobId });
    const outputs = graph.processes.map(() => createOutput());
    const members = graph.processes.map((_, place) => memberOf(spec, graph, place, outputs));
    const askedMs = epochMs();
    const run: JoinedRun = {
      sandbox,
      members,
      joints: jointsOf(graph, outputs),
      signal,
      written: (member, end) => checkWritten(members, graph, member, end),
      ended: (member, end) => {
        const { name } = of(graph.processes, member);
        observer.step(stepReport(name, spec.image, askedMs, end));
      },
    };
    try {
      const ends = await runJoined(run, async (all, boxes) => {
        await Promise.all(boxes.map((box) => box.close()));
        return all;
      });
      const work = await workOf(graph, ends, outputs, contents, imageVersion(spec.image));
      return { status: signal.aborted ? 'cancelled' : 'finished', work };
    } catch (thrown) {
      if (signal.aborted) return { status: 'cancelled', work: null };
      return { status: 'fault', fault: toFault(thrown), work: null };
    }
  };
}

function memberOf(
  spec: JobSpec,
  graph: GraphSpec,
  place: number,
  outputs: readonly FollowedOutput[],
): Member {
  const own = of(graph.processes, place);
  const { argv, env, stdin, limits } = own;
  return {
    box: { image: spec.image, diskBytes: limits.diskBytes, files: limits.files },
    files: filesOfProcess(spec.files, own).map((file) => ({
      path: file.path,
      mode: file.mode,
      content: decodeContent(file),
    })),
    // Nobody can freeze one of several clocks.
    step: { ...stepSpec(spec, argv, { ...spec.env, ...env }, stdin, limits), frozenTimeMs: 0 },
    onOutput: of(outputs, place).add,
  };
}

function jointsOf({ pipes }: GraphSpec, outputs: readonly FollowedOutput[]): Joint[] {
  return pipes.map(({ from, to, transcript }) => ({
    writer: from.process,
    reader: to.process,
    from: from.descriptor,
    to: to.descriptor,
    held: false,
    onPassed: transcript ? (chunk) => of(outputs, from.process).add('stdout', chunk) : null,
  }));
}

function checkWritten(
  members: readonly Member[],
  { processes }: GraphSpec,
  member: number,
  end: { readonly errno: number; readonly index: number } | null,
): void {
  if (end === null) return;
  const path = members[member]?.files[end.index]?.path ?? `file ${end.index}`;
  const detail = `${path} of ${of(processes, member).name} cannot be written: ${errnoText(end.errno)}`;
  throw new SandboxFault({ stage: 'files', errno: end.errno, detail, retryable: false });
}

async function workOf(
  { processes }: GraphSpec,
  ends: readonly StepEnd[],
  outputs: readonly FollowedOutput[],
  contents: ResultContents,
  image: string,
): Promise<TaskWork> {
  const steps: NonNullable<TaskWork['steps']> = [];
  for (const [place, end] of ends.entries()) {
    const result = await stepResult(end, of(outputs, place), contents);
    steps.push({ name: of(processes, place).name, ...result });
  }
  const boxUs = ends.reduce((sum, end) => sum + end.boxUs, 0);
  return {
    compile: null,
    run: null,
    steps,
    files: [],
    filesOmitted: [],
    image,
    boxMs: boxUs / US_PER_MS,
  };
}

function of<T>(list: readonly T[], place: number): T {
  const item = list[place];
  if (item === undefined) throw new Error(`there is no process ${place}`);
  return item;
}
