/** A job in words: how it ended and what it cost. */
import type { Job, StepResult, Usage } from '../contract/job.js';
import { OUTCOMES } from '../contract/outcomes.js';
import type { Style } from './style.js';

const MIB = 1024 * 1024;

function usageText({ cpuTimeMs, wallTimeMs, memoryBytesPeak, processesPeak }: Usage): string {
  return [
    `cpu ${cpuTimeMs.toFixed(1)} ms`,
    `wall ${wallTimeMs.toFixed(1)} ms`,
    `memory ${(memoryBytesPeak / MIB).toFixed(1)} MiB`,
    `processes ${processesPeak}`,
  ].join(' · ');
}

/** The step that decided how the job ended: the last one that ran. */
export function lastStep(job: Job): StepResult | null {
  return job.run ?? job.steps?.at(-1) ?? job.compile;
}

export function endText(job: Job, style: Style): string {
  if (job.status === 'failed') {
    const why = job.problem === null ? '' : `: ${job.problem.stage}: ${job.problem.detail}`;
    return style.bad(`failed${why}`);
  }
  const step = lastStep(job);
  if (step === null) return job.status;
  const { outcome, exitCode, signal } = step;
  const phase = job.compile !== null && job.run === null ? 'compile: ' : '';
  const good = outcome === 'exited' && exitCode === 0;
  const detail = signal ?? (exitCode === null ? '' : `with ${exitCode}`);
  const how = `${phase}${outcome} ${detail}`.trimEnd();
  const hint = good || outcome === 'exited' ? '' : ` ${style.dim(OUTCOMES[outcome])}`;
  return `${good ? style.good(how) : style.bad(how)} · ${style.dim(usageText(step.usage))}${hint}`;
}

const LIMIT_EXIT = 124;
const FAILED_EXIT = 125;
const SIGNALED_EXIT = 128 + 9;

/** As a shell would say it: the program's own code, 124 at a limit, 125 when it could not be run. */
export function exitCodeOf(job: Job): number {
  const step = job.status === 'failed' ? null : lastStep(job);
  if (step === null) return FAILED_EXIT;
  if (step.outcome === 'exited') return step.exitCode ?? FAILED_EXIT;
  return step.outcome === 'signaled' ? SIGNALED_EXIT : LIMIT_EXIT;
}
