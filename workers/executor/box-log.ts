/** A line for every run that gets a box, outside of all records: what really ran, to check the books by. */
import { appendFileSync } from 'node:fs';
import type { RunTask } from './run-task.js';

/** Null: nothing is logged. Appended before the box is opened, and small enough to be written at once. */
export function logBoxes(path: string | null, runTask: RunTask): RunTask {
  if (path === null) return runTask;
  return async (task, ...rest) => {
    appendFileSync(path, `${task.jobId} ${task.taskId} ${task.run} ${Date.now()}\n`);
    return await runTask(task, ...rest);
  };
}
