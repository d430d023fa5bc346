/**
 * An executor without a sandbox, for tests of everything around it: real claims, heartbeats and
 * settling through the same port, and results made up from the job's own `stdin`.
 */
import { newJobId } from '../../services/contract/ids.js';
import type { StepResult } from '../../services/contract/job.js';
import type { Task, TaskResult, TaskWork } from '../../services/contract/task.js';
import { createLogger } from '../../services/platform/logger.js';
import {
  createTaskSource,
  type TaskRunner,
  type TaskSource,
} from '../../services/platform/task-source.js';

export const FAKE_IMAGE = `base@sha256:${'0'.repeat(64)}`;

export function stepResult(stdout: string): StepResult & { stdout: string; stderr: string } {
  return {
    outcome: 'exited',
    exitCode: 0,
    signal: null,
    stdout,
    stdoutEncoding: 'utf8',
    stdoutTruncated: false,
    stderr: '',
    stderrEncoding: 'utf8',
    stderrTruncated: false,
    usage: {
      cpuTimeMs: 1,
      cpuUserMs: 1,
      cpuSystemMs: 0,
      wallTimeMs: 1,
      memoryBytesPeak: 4_096,
      processesPeak: 1,
      oomKills: 0,
      diskBytes: 0,
      ioReadBytes: 0,
      ioWriteBytes: 0,
      contextSwitches: null,
      majorPageFaults: null,
    },
  };
}

export function workOf(task: Task): TaskWork {
  const { spec } = task;
  return {
    compile: spec.compile === null ? null : stepResult(''),
    run: spec.steps === null ? stepResult(spec.stdin.content) : null,
    steps:
      spec.steps?.map((step) => ({ name: step.name, ...stepResult(step.stdin.content) })) ?? null,
    files: [],
    filesOmitted: [],
    image: FAKE_IMAGE,
    boxMs: 0.5,
  };
}

export function finished(task: Task): TaskResult {
  return { status: 'finished', work: workOf(task) };
}

/** Ends when it is told to stop. */
export function untilStopped(task: Task, signal: AbortSignal): Promise<TaskResult> {
  return new Promise((resolve) => {
    const stop = (): void => {
      resolve({ status: 'cancelled', work: workOf(task) });
    };
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
}

/** Holds runs until it is opened; `entered` tells that one is held. */
export function createGate() {
  let open: () => void = () => undefined;
  let held = 0;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const runner: TaskRunner = async (task) => {
    held += 1;
    await opened;
    return finished(task);
  };
  return { runner, open: () => open(), entered: () => held > 0 };
}

export async function startFakeExecutor(
  redisUrl: string,
  runner: TaskRunner,
  slots = 2,
): Promise<TaskSource & { readonly executorId: string }> {
  const executorId = newJobId().replace('job_', 'exec_');
  const logger = createLogger('test', 'silent');
  const source = createTaskSource({ redisUrl, executorId, slots, logger });
  await source.start(runner);
  return { ...source, executorId };
}
