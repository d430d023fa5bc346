/** Who may have a core alone: the supervisor refuses what is too much, so that nobody has to be told to come again. */

export interface Cores {
  /** Waits for its turn; throws when the signal is aborted first. The result gives the core back, once. */
  take(signal: AbortSignal): Promise<() => void>;
}

export function createCores(count: number): Cores {
  const waiting: (() => void)[] = [];
  let free = Math.max(1, count);

  function giveBack(): void {
    const next = waiting.shift();
    if (next === undefined) free += 1;
    else next();
  }

  function turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const enter = (): void => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      const leave = (): void => {
        waiting.splice(waiting.indexOf(enter), 1);
        reject(new Error('stopped while waiting for a core'));
      };
      waiting.push(enter);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  return {
    async take(signal) {
      signal.throwIfAborted();
      if (free > 0) free -= 1;
      else await turn(signal);
      let held = true;
      return () => {
        if (held) giveBack();
        held = false;
      };
    },
  };
}
