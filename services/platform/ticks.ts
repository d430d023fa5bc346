/**
 * What is done again and again. All processes of a host do it at the same instants of its monotonic clock, so that
 * one that has nothing to do, and its Redis, wake up once for all of it; hosts are not in step with each other.
 */
import { monotonicMs } from './clock.js';

/** Who asks while it runs has it run once more after that, and is answered at once. */
export function oneAtATime(run: () => Promise<void>): () => Promise<void> {
  let runs = false;
  let again = false;
  return async () => {
    again = true;
    if (runs) return;
    runs = true;
    try {
      while (again) {
        again = false;
        await run();
      }
    } finally {
      runs = false;
    }
  };
}

/** Until the first instant that is at least half a period away: a timer may be a little early, and must not tick twice. */
export function untilTick(everyMs: number, nowMs: number): number {
  const left = everyMs - (nowMs % everyMs);
  return left < everyMs / 2 ? left + everyMs : left;
}

/** Does not keep the process alive. The result ends it. */
export function tick(everyMs: number, run: () => unknown): () => void {
  let timer: NodeJS.Timeout;
  const wait = (): void => {
    timer = setTimeout(
      () => {
        wait();
        run();
      },
      untilTick(everyMs, monotonicMs()),
    );
    timer.unref();
  };
  wait();
  return () => clearTimeout(timer);
}
