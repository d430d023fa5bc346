/** How tests are shared out: slices of 100 to 500 ms by estimate, and at least one test. Pure. */
import type { JudgeSpec } from '../../../services/contract/judge-spec.js';
import type { TaskPart } from '../../../services/contract/task.js';

/** What a slice is meant to take: much more than the scheduling of one. */
const SLICE_MS = 250;
/** One that has taken longer gives its rest back. */
export const SLICE_MS_MAX = 400;
/** Of a test nothing is known of: a small program in a box of its own. What is slower gives its rest back. */
const TEST_MS_GUESS = 5;

export function slicesOf(from: number, to: number, perTestMs: number, most = Infinity): TaskPart[] {
  const size = Math.max(1, Math.min(most, Math.floor(SLICE_MS / Math.max(0.1, perTestMs))));
  const parts: TaskPart[] = [];
  for (let at = from; at < to; at += size) {
    parts.push({ kind: 'tests', from: at, to: Math.min(to, at + size) });
  }
  return parts;
}

/** Never so large that a slot of `parallel` would have nothing to do. */
export function firstSlices({ tests, parallel }: JudgeSpec): TaskPart[] {
  const guess = Math.min(TEST_MS_GUESS, ...tests.map(({ limits }) => limits.wallTimeMs));
  return slicesOf(0, tests.length, guess, Math.ceil(tests.length / parallel));
}
