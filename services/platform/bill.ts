/** What of a task's work is billed, by the kernel's own figures. Box time is not. */
import type { StepResult } from '../contract/job.js';
import type { Bill, TaskWork } from '../contract/task.js';

export function billOf(work: TaskWork): Bill {
  // What was compiled before was billed then.
  const compile = work.compile?.cached === true ? null : work.compile;
  const steps: readonly (StepResult | null)[] = [compile, work.run, ...(work.steps ?? [])];
  const bill = {
    cpuMs: work.tests?.bill?.cpuMs ?? 0,
    memoryByteMs: work.tests?.bill?.memoryByteMs ?? 0,
  };
  for (const step of steps) {
    if (step === null) continue;
    bill.cpuMs += step.usage.cpuTimeMs;
    bill.memoryByteMs += step.usage.memoryBytesPeak * step.usage.wallTimeMs;
  }
  return bill;
}
