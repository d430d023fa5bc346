/** The slots of an executor: who comes while all are taken waits a moment for the next to be given back. */

export interface SlotGate {
  /** What gives the slot back, once however often it is called; null: there was none in time. */
  enter(): Promise<(() => void) | null>;
  /** Lets nobody in any more, nor those who wait. */
  close(): void;
  taken(): number;
}

export function createSlotGate(slots: number, waitMsMax: number): SlotGate {
  const waiting: ((entered: boolean) => void)[] = [];
  let taken = 0;
  let closed = false;

  function leave(): void {
    const next = waiting.shift();
    if (next === undefined) taken -= 1;
    else next(true);
  }

  function wait(): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        waiting.splice(waiting.indexOf(end), 1);
        resolve(false);
      }, waitMsMax);
      function end(entered: boolean): void {
        clearTimeout(timer);
        resolve(entered);
      }
      waiting.push(end);
    });
  }

  async function enter(): Promise<(() => void) | null> {
    if (closed) return null;
    if (taken < slots) taken += 1;
    else if (!(await wait())) return null;
    let given = false;
    return () => {
      if (!given) leave();
      given = true;
    };
  }

  return {
    enter,
    close() {
      closed = true;
      for (const turnAway of waiting.splice(0)) turnAway(false);
    },
    taken: () => taken,
  };
}
