/**
 * The time of day with microseconds, and the monotonic clock's instants in it. `Date.now()` has
 * milliseconds only, and Node's high resolution time drifts off when the clock of the host is set: so it
 * is taken anew whenever both disagree.
 */
import { performance } from 'node:perf_hooks';

const DISAGREE_MS = 2;

function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

let offsetMs = performance.timeOrigin + performance.now() - monotonicMs();

function checkedOffsetMs(atMs: number): number {
  const now = Date.now();
  if (Math.abs(atMs + offsetMs - now) > DISAGREE_MS) offsetMs = now - atMs;
  return offsetMs;
}

/** Milliseconds since 1970, with a fraction. */
export function epochMs(): number {
  const at = monotonicMs();
  return at + checkedOffsetMs(at);
}

/** The same for an instant of CLOCK_MONOTONIC of this host, such as the supervisor tells. */
export function epochMsOf(monotonicUs: number): number {
  return monotonicUs / 1_000 + checkedOffsetMs(monotonicMs());
}
