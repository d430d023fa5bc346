/** How a step can end. The native supervisor decides which; nobody downstream derives it again. */
import { z } from 'zod';

export const OUTCOMES = {
  exited: 'The program ended by itself; exitCode tells how.',
  signaled: 'A signal ended the program; signal names it.',
  cpu_limit: 'It used its CPU time up.',
  wall_limit: 'It used its time by the clock up.',
  memory_limit: 'It needed more memory than it was given.',
  output_limit: 'It wrote more output than it was allowed.',
  disk_limit: 'It ended after its disk, or its number of files, was full.',
  cancelled: 'The client cancelled the job.',
} as const satisfies Record<string, string>;

export type Outcome = keyof typeof OUTCOMES;

export const OUTCOME_NAMES = Object.keys(OUTCOMES) as [Outcome, ...Outcome[]];

export const outcomeSchema = z.enum(OUTCOME_NAMES);
