/** The runs an executor holds, and how each of them is told to stop. */
import type { ControlMessage } from '../contract/control.js';
import { SandboxFault } from '../contract/faults.js';
import type { LiveRunHost } from './live-run.js';
import type { Holder } from './script-replies.js';

/** Why a run has to stop: a client's wish, a lost lease, or the end of the executor. */
export type StopReason = 'cancel' | 'fenced' | 'drain';

export interface RunHandle extends Holder {
  readonly run: number;
  readonly signal: AbortSignal;
  /** Rejects when the handler is no longer waited for. */
  readonly abandoned: Promise<never>;
  readonly stopReason: () => StopReason | null;
  readonly live: LiveRunHost;
}

interface Entry {
  readonly handle: RunHandle;
  readonly stop: (reason: StopReason) => void;
  readonly abandon: () => void;
}

export function createRunning() {
  // By token: a task that was lost and came back may be held twice for a moment.
  const entries = new Map<string, Entry>();
  let idleWaiters: (() => void)[] = [];

  function add(run: Holder & Pick<RunHandle, 'run' | 'live'>): RunHandle {
    const controller = new AbortController();
    let reason: StopReason | null = null;
    let abandon: () => void = () => undefined;
    const abandoned = new Promise<never>((_resolve, reject) => {
      abandon = () => {
        reject(new SandboxFault({ stage: 'drain', detail: 'the run did not stop in time' }));
      };
    });
    // Nobody listens any more once the handler has answered.
    abandoned.catch(() => undefined);
    const handle: RunHandle = {
      ...run,
      signal: controller.signal,
      abandoned,
      stopReason: () => reason,
    };
    const stop = (why: StopReason): void => {
      // The first reason stands, but who lost the lease has lost it whatever else was wished.
      if (reason === null || why === 'fenced') reason = why;
      controller.abort(why);
    };
    entries.set(run.runToken, { handle, stop, abandon });
    return handle;
  }

  function remove({ runToken, live }: RunHandle): void {
    live.close();
    entries.delete(runToken);
    if (entries.size > 0) return;
    for (const resolve of idleWaiters) resolve();
    idleWaiters = [];
  }

  function stop(runToken: string, reason: StopReason): void {
    entries.get(runToken)?.stop(reason);
  }

  /** False: there is no such run here. */
  function take(message: ControlMessage): boolean {
    const entry = entries.get(message.runToken);
    if (entry === undefined) return false;
    if (message.kind === 'cancel') entry.stop('cancel');
    else entry.handle.live.take(message);
    return true;
  }

  return {
    add,
    remove,
    stop,
    take,
    stopAll(reason: StopReason): void {
      for (const entry of entries.values()) entry.stop(reason);
    },
    abandonAll(): void {
      for (const entry of entries.values()) entry.abandon();
    },
    held: () => [...entries.values()].map(({ handle }) => handle),
    count: () => entries.size,
    idle: (): Promise<void> =>
      entries.size === 0
        ? Promise.resolve()
        : new Promise((resolve) => {
            idleWaiters.push(resolve);
          }),
  };
}

export type Running = ReturnType<typeof createRunning>;
