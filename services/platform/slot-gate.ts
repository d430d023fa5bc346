/**
 * The slots of an executor. Who comes while all are taken waits a moment for the next to be given back: that goes to the
 * least turn, and of the same to who came first. It starts within the call that gives the slot back.
 */

/** Has a slot until it is over, or until it gives it back, once however often it does. */
export type SlotWork = (giveBack: () => void) => Promise<void>;

export interface SlotGate {
  /** When the work is over; false: there was no slot in time, and it was not begun. */
  enter(turn: number, work: SlotWork): Promise<boolean>;
  /** Lets nobody in any more, nor those who wait. */
  close(): void;
  taken(): number;
}

interface Waiting {
  readonly turn: number;
  end(entered: boolean): void;
}

export function createSlotGate(slots: number, waitMsMax: number): SlotGate {
  const waiting: Waiting[] = [];
  let taken = 0;
  let closed = false;

  function leave(): void {
    const next = waiting.shift();
    if (next === undefined) taken -= 1;
    else next.end(true);
  }

  async function hold(work: SlotWork): Promise<boolean> {
    let given = false;
    const giveBack = (): void => {
      if (!given) {
        given = true;
        leave();
      }
    };
    try {
      await work(giveBack);
    } finally {
      giveBack();
    }
    return true;
  }

  function wait(turn: number, work: SlotWork): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        waiting.splice(waiting.indexOf(me), 1);
        resolve(false);
      }, waitMsMax);
      const me: Waiting = {
        turn,
        end(entered) {
          clearTimeout(timer);
          resolve(entered && hold(work));
        },
      };
      const behind = waiting.findIndex((other) => other.turn > turn);
      waiting.splice(behind < 0 ? waiting.length : behind, 0, me);
    });
  }

  async function enter(turn: number, work: SlotWork): Promise<boolean> {
    if (closed) return false;
    if (taken >= slots) return await wait(turn, work);
    taken += 1;
    return await hold(work);
  }

  return {
    enter,
    close() {
      closed = true;
      for (const each of waiting.splice(0)) each.end(false);
    },
    taken: () => taken,
  };
}
