/**
 * The sandbox port on libmayfly: one supervisor, its images, its boxes. A supervisor that dies takes its
 * boxes along (each rejects with the fault `supervisor`) and is replaced; the sweep of the new one
 * removes what the old one left.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { SandboxFault } from '../../services/contract/faults.js';
import { gatherMemory, packFiles } from './native-memory.js';
import type { Sandbox } from './sandbox.js';
import { SupervisorConnection, type ConnectionDeps } from './supervisor-connection.js';

export interface NativeSandboxDeps extends ConnectionDeps {
  readonly log: SandboxLog;
  readonly onRestart?: () => void;
}

export interface SandboxLog {
  info(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface NativeSandbox extends Sandbox {
  /** Of the supervisor that runs now; null while a new one is being started. */
  supervisorPid(): number | null;
}

/** A job that arrives during a restart waits this long before it is requeued. */
const RESTART_WAIT_MS = 10_000;
/** Between attempts to start a supervisor: doubled each time, so that a broken host is not hammered. */
const RESTART_DELAY_MS = { first: 50, max: 5_000 } as const;
/** A supervisor that lived this long has shown that it works: the next one starts without delay. */
const PROVEN_MS = 10_000;

/** Rejects with the fault of the very first start: a host that cannot do it should be told at once. */
export async function startNativeSandbox(deps: NativeSandboxDeps): Promise<NativeSandbox> {
  const { log } = deps;
  const stopping = new AbortController();
  let current: SupervisorConnection | null = await connect(deps);
  let next: Promise<SupervisorConnection> = Promise.resolve(current);
  log.info({ supervisorPid: current.pid }, 'the supervisor is ready');
  const watching = watch(current);

  async function watch(connection: SupervisorConnection): Promise<void> {
    let delayMs = 0;
    for (;;) {
      const since = Date.now();
      const detail = await connection.lost;
      current = null;
      if (stopping.signal.aborted) return;
      log.error({ detail }, 'the supervisor died and is started again');
      deps.onRestart?.();
      delayMs = Date.now() - since > PROVEN_MS ? 0 : nextDelay(delayMs);
      next = reconnect(delayMs);
      // Those who wait for a box see the rejection; nobody may be waiting.
      const connected = await next.catch(() => null);
      if (connected === null) return;
      connection = current = connected;
      log.info({ supervisorPid: connection.pid }, 'the new supervisor is ready');
    }
  }

  async function reconnect(firstDelayMs: number): Promise<SupervisorConnection> {
    for (let delayMs = firstDelayMs; ; delayMs = nextDelay(delayMs)) {
      await sleep(delayMs, undefined, { signal: stopping.signal });
      try {
        return await connect(deps);
      } catch (error) {
        log.error({ err: error }, 'the supervisor cannot be started');
      }
    }
  }

  return {
    supervisorPid: () => current?.pid ?? null,
    gather: (pieces) => gatherMemory(deps.library, pieces),
    pack: (files) => packFiles(deps.library, files),
    async openBox(spec) {
      return (current ?? (await withDeadline(next))).openBox(spec);
    },
    dropLayer: (path) => current?.dropLayer(path),
    async stop() {
      stopping.abort();
      let inOrder = (await current?.close()) ?? false;
      // Or a supervisor that was being started when we were stopped.
      inOrder ||= await next.then(
        (connection) => connection.close(),
        () => false,
      );
      await watching;
      if (!inOrder) await sweep();
    },
  };

  /** The start of a supervisor removes what one before it could not. */
  async function sweep(): Promise<void> {
    try {
      await (await connect(deps)).close();
    } catch (error) {
      log.error({ err: error }, 'what the last supervisor left could not be swept up');
    }
  }
}

async function connect(deps: NativeSandboxDeps): Promise<SupervisorConnection> {
  const connection = new SupervisorConnection(deps);
  await connection.ready();
  return connection;
}

function nextDelay(delayMs: number): number {
  return Math.min(Math.max(2 * delayMs, RESTART_DELAY_MS.first), RESTART_DELAY_MS.max);
}

async function withDeadline(
  connection: Promise<SupervisorConnection>,
): Promise<SupervisorConnection> {
  const timer = new AbortController();
  const late = sleep(RESTART_WAIT_MS, null, { signal: timer.signal }).catch(() => null);
  try {
    const first = await Promise.race([connection, late]);
    if (first !== null) return first;
  } catch (cause) {
    throw new SandboxFault({ stage: 'supervisor', detail: 'the sandbox is stopping' }, { cause });
  } finally {
    timer.abort();
  }
  throw new SandboxFault({ stage: 'supervisor', detail: 'the supervisor is being restarted' });
}
