/**
 * The time of day with microseconds, and the monotonic clock's instants in it. Node tells the time of day
 * in whole milliseconds (`Date.now()`), so each look at both clocks says between which two values their
 * difference is, and many looks say it exactly. Looks that contradict each other mean that the clock of
 * the host has been set: then it is found out anew.
 */

export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export interface Offset {
  /** The monotonic clock stood between `before` and `after` when the time of day was that many whole milliseconds. */
  look(beforeMs: number, wholeMs: number, afterMs: number): void;
  /** What has to be added to the monotonic clock. */
  ms(): number;
}

export function createOffset(): Offset {
  let lowest = -Infinity;
  let highest = Infinity;
  return {
    look(beforeMs, wholeMs, afterMs) {
      const low = wholeMs - afterMs;
      const high = wholeMs + 1 - beforeMs;
      const contradicts = low > highest || high < lowest;
      lowest = contradicts ? low : Math.max(lowest, low);
      highest = contradicts ? high : Math.min(highest, high);
    },
    ms: () => (lowest + highest) / 2,
  };
}

const LOOKS = 64;
const offset = createOffset();
for (let look = 0; look < LOOKS; look += 1) lookAtClocks();

function lookAtClocks(): number {
  const before = monotonicMs();
  const whole = Date.now();
  const after = monotonicMs();
  offset.look(before, whole, after);
  return after;
}

/** Milliseconds since 1970, with a fraction. */
export function epochMs(): number {
  return lookAtClocks() + offset.ms();
}

/** The same for an instant of CLOCK_MONOTONIC of this host, such as the supervisor tells. */
export function epochMsOf(monotonicUs: number): number {
  lookAtClocks();
  return monotonicUs / 1_000 + offset.ms();
}
