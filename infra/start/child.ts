/**
 * A process that is kept running: started again with a growing delay when it dies, stopped when asked
 * to. It dies with us even when we are killed (setpriv --pdeathsig), and has a process group of its own
 * so that Ctrl-C reaches it through us and in our order.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ChildOptions {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string>>;
  /** Where its output goes: ours, or a descriptor of a log file. */
  readonly output: 'inherit' | number;
  /** Told what a person should know. */
  readonly report: (message: string) => void;
  /** Exit codes after which starting again is of no use. */
  readonly finalCodes?: readonly number[];
}

export interface Child {
  /** Null while it is not running. */
  pid(): number | null;
  /** Rejects when it ends with one of the final codes. Never resolves. */
  readonly failed: Promise<never>;
  /** Rejects when it dies for the first time: at a start, that is a wrong setting and no accident. */
  readonly died: Promise<never>;
  /** SIGTERM, and SIGKILL after the deadline; resolves when it is gone. */
  stop(deadlineMs: number): Promise<void>;
}

const DELAY_MS = { first: 200, max: 5_000 } as const;
/** A process that ran this long is started again at once. */
const PROVEN_MS = 10_000;

export function keepRunning(options: ChildOptions): Child {
  const { name, finalCodes = [], report } = options;
  const stopping = new AbortController();
  let running: ChildProcess | null = null;
  let fail: (error: Error) => void = () => undefined;
  const failed = new Promise<never>((_resolve, reject) => (fail = reject));
  let die: (error: Error) => void = () => undefined;
  const died = new Promise<never>((_resolve, reject) => (die = reject));
  for (const promise of [failed, died]) promise.catch(() => undefined);

  const stopped = (): boolean => stopping.signal.aborted;
  const ended = (async () => {
    for (let delayMs = 0; !stopping.signal.aborted;) {
      const since = Date.now();
      running = start(options);
      const { code, how } = await exitOf(running);
      running = null;
      if (stopped()) return;
      die(new Error(`${name} ${how}`));
      if (code !== null && finalCodes.includes(code)) {
        fail(new Error(`${name} ${how}`));
        return;
      }
      delayMs = Date.now() - since > PROVEN_MS ? 0 : nextDelay(delayMs);
      report(`${name} ${how}; starting it again in ${delayMs} ms`);
      await sleep(delayMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();

  return {
    pid: () => running?.pid ?? null,
    failed,
    died,
    async stop(deadlineMs) {
      stopping.abort();
      running?.kill('SIGTERM');
      const timer = setTimeout(() => {
        report(`${name} did not stop within ${deadlineMs} ms and is killed`);
        running?.kill('SIGKILL');
      }, deadlineMs);
      await ended;
      clearTimeout(timer);
    },
  };
}

function start({ command, env, output }: ChildOptions): ChildProcess {
  return spawn('setpriv', ['--pdeathsig', 'TERM', ...command], {
    env,
    stdio: ['ignore', output, output],
    detached: true,
  });
}

function exitOf(child: ChildProcess): Promise<{ code: number | null; how: string }> {
  return new Promise((resolve) => {
    child.once('error', (error) => {
      resolve({ code: null, how: `could not be started: ${error.message}` });
    });
    child.once('exit', (code, signal) => {
      resolve({
        code,
        how: signal === null ? `exited with ${code ?? '?'}` : `was killed by ${signal}`,
      });
    });
  });
}

function nextDelay(delayMs: number): number {
  return Math.min(Math.max(2 * delayMs, DELAY_MS.first), DELAY_MS.max);
}
