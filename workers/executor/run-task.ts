/**
 * The story of one task: plan, box, files, steps up to the first that does not exit with 0, files to
 * return. A step ends when all of its processes are dead, so the slot may be given on then; what is left of
 * the box, its pid 1 and its mounts, is taken away meanwhile. After anything unusual the box is waited for.
 */
import { constants } from 'node:os';
import { encodeContent } from '../../services/contract/encoding.js';
import { SandboxFault, toFault } from '../../services/contract/faults.js';
import type { CollectedFile, OmittedFile } from '../../services/contract/job.js';
import type { JobSpec } from '../../services/contract/job-spec.js';
import type { Task, TaskResult, TaskWork } from '../../services/contract/task.js';
import { unpackArchives } from './archives.js';
import type { BlobCache } from './blob-cache.js';
import { readSlice } from './collected-files.js';
import { errnoText } from './errno.js';
import type { Blobs } from '../../services/platform/blobs.js';
import { epochMs } from '../../services/platform/clock.js';
import { NO_OBSERVER, type RunObserver } from '../../services/platform/run-telemetry.js';
import { NO_LIVE, type LiveRun } from '../../services/platform/live-run.js';
import { createRunActions, endWhenIdle } from './act-on-run.js';
import { openInputs, type Inputs } from './inputs.js';
import { planTask, type Plan } from './plan-task.js';
import { createResultContents, type ResultContents } from './result-contents.js';
import type { Box, Collected, PutEnd, Sandbox, Slice, StepEnd } from './sandbox.js';
import { createOutput, stepResult, type FullStepResult } from './step-result.js';
import { stepReport } from './step-report.js';

export interface RunTaskDeps {
  readonly sandbox: Sandbox;
  /** `<name>@<digest>` of an image by its name. */
  readonly imageVersion: (name: string) => string;
  /** The program that unpacks archives. */
  readonly extractor: Slice;
  readonly blobs: {
    readonly cache: Pick<BlobCache, 'open'>;
    readonly results: Pick<Blobs, 'keepResult'>;
  };
}

export type RunTask = (
  task: Task,
  signal: AbortSignal,
  observer?: RunObserver,
  live?: LiveRun,
) => Promise<TaskResult>;

interface Progress {
  readonly steps: { name: string; result: FullStepResult }[];
  boxUs: number;
  readonly files: CollectedFile[];
  readonly filesOmitted: OmittedFile[];
}

export function createRunTask(deps: RunTaskDeps): RunTask {
  const { sandbox, imageVersion, blobs, extractor } = deps;
  return async function runTask(task, signal, observer = NO_OBSERVER, live = NO_LIVE) {
    const { spec, tenantId, jobId } = task;
    const progress: Progress = { steps: [], boxUs: 0, files: [], filesOmitted: [] };
    const work = (): TaskWork | null =>
      progress.steps.length === 0 ? null : taskWork(spec, progress, imageVersion(spec.image));
    try {
      const plan = planTask(spec);
      const contents = createResultContents({ blobs: blobs.results, tenantId, jobId });
      const inputs = await openInputs({ sandbox, extractor, blobs: blobs.cache, tenantId }, plan);
      try {
        await runInBox({ sandbox, plan, inputs, contents, signal, progress, observer, live });
      } finally {
        inputs.close();
      }
    } catch (thrown) {
      if (!signal.aborted) return { status: 'fault', fault: toFault(thrown), work: work() };
    }
    if (signal.aborted) return { status: 'cancelled', work: work() };
    return { status: 'finished', work: taskWork(spec, progress, imageVersion(spec.image)) };
  };
}

interface Run {
  readonly sandbox: Sandbox;
  readonly plan: Plan;
  readonly inputs: Inputs;
  readonly contents: ResultContents;
  readonly signal: AbortSignal;
  readonly progress: Progress;
  readonly observer: RunObserver;
  readonly live: LiveRun;
}

async function runInBox(run: Run): Promise<void> {
  const { sandbox, plan, signal, observer, live } = run;
  signal.throwIfAborted();
  const box = await sandbox.openBox(plan.box);
  const stopCancelling = cancelOnAbort(box, signal);
  const stopWaiting = plan.idleTimeMs === null ? null : endWhenIdle(box, live, plan.idleTimeMs);
  let ended = false;
  try {
    await runSteps(box, run);
    if (plan.collect !== null && !signal.aborted) {
      const collectingMs = epochMs();
      await takeFiles(await box.collect(plan.collect), run);
      observer.stage('collect', collectingMs, epochMs());
    }
    ended = !signal.aborted;
  } finally {
    stopCancelling();
    stopWaiting?.();
    const closed = box.close();
    if (!ended) await closed;
  }
}

async function takeFiles(collected: Collected, { progress, contents }: Run): Promise<void> {
  const { files, omitted, memory } = collected;
  try {
    progress.filesOmitted.push(...omitted);
    for (const { path, content } of files) {
      const kept = await contents.keep(content);
      if (kept === null) {
        const encoded = encodeContent(await readSlice(content));
        progress.files.push({ path, bytes: content.bytes, ...encoded });
      } else if (kept === 'no_room') {
        progress.filesOmitted.push({ path, reason: 'no_room' });
      } else {
        progress.files.push({ path, ...kept });
      }
    }
  } finally {
    memory.close();
  }
}

/** Files and the first step are sent back to back: the box waits for nobody in between. */
async function runSteps(box: Box, run: Run): Promise<void> {
  const { plan, inputs, contents, signal, progress, observer, live } = run;
  if (inputs.archives !== null) {
    await unpackArchives(box, inputs.archives);
    signal.throwIfAborted();
  }
  const actions = createRunActions(box);
  live.onAction((action) => actions.act(action));
  live.onListened(() => box.follow());
  const firstSpec = await inputs.stepSpec(plan.steps[0]);
  const written = plan.files.length === 0 ? null : box.put(inputs.files);
  for (const [index, step] of plan.steps.entries()) {
    const { name } = step;
    const spec = index === 0 ? firstSpec : await inputs.stepSpec(step);
    const output = createOutput(() => live.wrote());
    live.stepBegins(name, output);
    const askedMs = epochMs();
    const ending = box.step(spec, output.add);
    if (spec.interactive === true) actions.begin(spec.stdin);
    if (index === 0 && written !== null) checkWritten(await written, plan);
    const end = await ending;
    observer.step(stepReport(name, plan.box.image, askedMs, end));
    progress.boxUs += end.boxUs;
    progress.steps.push({ name, result: await stepResult(end, output, contents) });
    if (!succeeded(end) || signal.aborted) return;
  }
}

function succeeded(end: StepEnd): boolean {
  return end.outcome === 'exited' && end.exitCode === 0;
}

/**
 * A path that cannot be written (it leads through a file, or to where the user of the box may not
 * write) is the job's own doing, and would be again: the job fails at once, naming the file.
 */
function checkWritten(end: PutEnd, plan: Plan): void {
  if (end === null) return;
  const path = plan.files[end.index]?.path ?? `file ${end.index}`;
  const { ENOSPC } = constants.errno;
  const remedy = end.errno === ENOSPC ? ' (limits diskBytes and files)' : '';
  throw new SandboxFault({
    stage: 'files',
    errno: end.errno,
    detail: `${path} cannot be written: ${errnoText(end.errno)}${remedy}`,
    retryable: false,
  });
}

/** The supervisor cancels a step that runs; one that is only about to run is caught a moment later. */
const CANCEL_AGAIN_MS = 50;

function cancelOnAbort(box: Box, signal: AbortSignal): () => void {
  let timer: NodeJS.Timeout | undefined;
  const cancel = (): void => {
    box.cancel();
    timer = setInterval(() => {
      box.cancel();
    }, CANCEL_AGAIN_MS);
  };
  if (signal.aborted) cancel();
  else signal.addEventListener('abort', cancel, { once: true });
  return () => {
    signal.removeEventListener('abort', cancel);
    clearInterval(timer);
  };
}

const US_PER_MS = 1_000;

function taskWork(spec: JobSpec, progress: Progress, image: string): TaskWork {
  const { steps } = progress;
  const resultOf = (name: string): FullStepResult | null =>
    steps.find((step) => step.name === name)?.result ?? null;
  const ofLanguage = spec.language !== null;
  return {
    compile: ofLanguage ? resultOf('compile') : null,
    run: ofLanguage ? resultOf('run') : null,
    steps: ofLanguage ? null : steps.map(({ name, result }) => ({ name, ...result })),
    files: progress.files.map((file) => ({ ...file, path: clientPath(file.path, spec.cwd) })),
    filesOmitted: progress.filesOmitted.map(({ path, reason }) => ({
      path: clientPath(path, spec.cwd),
      reason,
    })),
    image,
    boxMs: progress.boxUs / US_PER_MS,
  };
}

/** As the client writes it: relative to the working directory, where it lies below it. */
function clientPath(path: string, cwd: string): string {
  return path.startsWith(`${cwd}/`) ? path.slice(cwd.length + 1) : path;
}
