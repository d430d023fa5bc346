/** What clients do to a run, in the words of the sandbox; and the end of an interactive one that nobody uses. */
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  INPUT_BYTES_MAX,
  SIGNALS,
  type Action,
  type ActionRefusal,
} from '../../services/contract/control.js';
import type { LiveRun } from '../../services/platform/live-run.js';
import type { Box, Control, Memory } from './sandbox.js';

const { errno } = constants;

/** A job is running from its claim on, its program some milliseconds later. */
const STARTS_WITHIN_MS = 2_000;
const TRY_AGAIN_MS = 5;
/** How often an interactive run is asked whether anybody is there. */
const IDLE_CHECK_MS = 500;

const REFUSALS: Readonly<Record<number, ActionRefusal>> = {
  [errno.ESRCH]: 'not_running',
  [errno.EPERM]: 'frozen_too_long',
  [errno.EBUSY]: 'memory_in_use',
  [errno.EAGAIN]: 'input_full',
  [errno.EPIPE]: 'not_interactive',
  [errno.EIO]: 'not_interactive',
};

function controlOf(action: Action): Control {
  switch (action.kind) {
    case 'input':
      return { ...action, data: Buffer.from(action.data, 'base64') };
    case 'signal':
      return { kind: 'signal', signal: SIGNALS[action.signal] };
    case 'resize':
      return { kind: 'resize', size: { rows: action.rows, columns: action.columns } };
    case 'limits':
      return { kind: 'limits', limits: action.limits };
    default:
      return action;
  }
}

function refusalOf(number: number, action: Action): ActionRefusal {
  if (number === errno.ENOTTY) return action.kind === 'resize' ? 'no_terminal' : 'not_interactive';
  const refusal = REFUSALS[number];
  if (refusal === undefined) throw new Error(`${action.kind}: errno ${number}`);
  return refusal;
}

export function createRunActions(box: Box) {
  /** What the job itself gives its program to read comes before anything that is typed. */
  let fed: Promise<void> = Promise.resolve();

  async function control(wanted: Control): Promise<number> {
    const until = Date.now() + STARTS_WITHIN_MS;
    for (;;) {
      const number = (await box.control(wanted))?.errno ?? 0;
      if (number !== errno.ESRCH || Date.now() > until) return number;
      await sleep(TRY_AGAIN_MS);
    }
  }

  async function feed(stdin: Buffer): Promise<void> {
    for (let at = 0; at < stdin.length;) {
      const data = stdin.subarray(at, at + INPUT_BYTES_MAX);
      const number = await control({ kind: 'input', data, last: false });
      if (number === 0) at += data.length;
      else if (number === errno.EAGAIN) await sleep(TRY_AGAIN_MS);
      else return;
    }
  }

  return {
    async act(action: Action): Promise<ActionRefusal | null> {
      if (action.kind === 'input') await fed;
      const number = await control(controlOf(action));
      if (number === 0) return null;
      // Its program may still be compiled: there is no room for input yet.
      if (number === errno.ESRCH && action.kind === 'input') return 'input_full';
      return refusalOf(number, action);
    },
    /** Until all is taken, or nobody reads any more. */
    feed,
    /** What an interactive step reads first. */
    begin(stdin: Buffer | Memory): void {
      if (!Buffer.isBuffer(stdin)) throw new Error('an interactive step is given bytes');
      // A box that ends while it is fed says so to whoever waits for its step.
      fed = feed(stdin).catch(() => undefined);
    },
  };
}

/** Ends the step, as one whose time is up, when no client was there for `idleTimeMs`. */
export function endWhenIdle(box: Box, live: LiveRun, idleTimeMs: number): () => void {
  const timer = setInterval(() => {
    if (live.idleMs() < idleTimeMs) return;
    for (const control of [
      { kind: 'thaw' },
      { kind: 'limits', limits: { wallTimeMs: 1 } },
    ] as const) {
      box.control(control).catch(() => undefined);
    }
  }, IDLE_CHECK_MS);
  return () => {
    clearInterval(timer);
  };
}
