/**
 * One supervisor process and the socket to it: requests out in order without waiting, events in. It
 * knows nothing of boxes. When the supervisor is gone it says so once, and is of no further use.
 */
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { SandboxFault } from '../../services/contract/faults.js';
import { errnoText } from './errno.js';
import { createEventBuffer, type NativeEvent, type NativeLibrary } from './native-binding.js';

export interface SupervisorLink {
  readonly pid: number;
  /**
   * Sends a request, or queues it while the socket is full. What the library refuses was not sent and
   * will bring no event: `onRefused` is told instead.
   */
  send(request: (fd: number) => number, onRefused: (errno: number) => void): void;
  /** For a supervisor that does not answer: it is lost then, as if it had died by itself. */
  kill(): void;
  /**
   * Ends the supervisor and all of its boxes; resolves when its process is gone, to whether it went in
   * good order and so has removed everything.
   */
  close(): Promise<boolean>;
}

export interface SupervisorLinkDeps {
  readonly library: NativeLibrary;
  readonly supervisorPath: string;
  readonly boxesMax: number;
  readonly poolBoxes: number;
  readonly warmBytes: number;
  /** `data` is valid during the call only. */
  readonly onEvent: (event: NativeEvent, data: Buffer) => void;
  /** Called once, when the process is gone without having been closed. */
  readonly onLost: (detail: string) => void;
}

/** Events taken in one go: more would keep timers and the other sockets waiting. */
const EVENTS_PER_TURN = 64;
/** How long a supervisor may take to kill its boxes and exit before it is killed itself. */
const EXIT_WAIT_MS = 5_000;
const REAP_INTERVAL_MS = 5;

interface Queued {
  readonly request: (fd: number) => number;
  readonly onRefused: (errno: number) => void;
}

export function startSupervisor(deps: SupervisorLinkDeps): SupervisorLink {
  const { library, supervisorPath, boxesMax, poolBoxes, warmBytes } = deps;
  const { fd, pid } = library.start(supervisorPath, { boxesMax, poolBoxes, warmBytes });
  if (fd < 0) {
    const detail = `cannot start ${supervisorPath}: ${errnoText(-fd)}`;
    throw new SandboxFault({ stage: 'start', errno: -fd, detail });
  }
  const buffer = createEventBuffer();
  const queue: Queued[] = [];
  let gone: Promise<Exit> | null = null;
  const watch = library.watch(fd, onReady);

  function onReady(): void {
    if (gone !== null) return;
    flush();
    for (let taken = 0; taken < EVENTS_PER_TURN; taken += 1) {
      const { result, event } = library.receive(fd, buffer);
      if (result === 0) return;
      if (event === null) {
        void end().then(({ detail }) => {
          deps.onLost(detail);
        });
        return;
      }
      deps.onEvent(event, buffer.subarray(0, event.kind === OUTPUT ? event.data_bytes : 0));
    }
  }

  function attempt({ request, onRefused }: Queued): boolean {
    const result = request(fd);
    if (result === -constants.errno.EAGAIN) return false;
    if (result < 0) onRefused(-result);
    return true;
  }

  function flush(): void {
    if (queue.length === 0) return;
    for (let next = queue[0]; next !== undefined; next = queue[0]) {
      if (!attempt(next)) return;
      queue.shift();
    }
    watch.writable(false);
  }

  /** Leaves the socket and waits for the process: its exit is what proves that its boxes are dead. */
  function end(): Promise<Exit> {
    gone ??= (() => {
      watch.close();
      closeSync(fd);
      for (const { onRefused } of queue.splice(0)) onRefused(constants.errno.EPIPE);
      return reap(library, pid);
    })();
    return gone;
  }

  return {
    pid,
    send(request, onRefused) {
      if (gone !== null) {
        onRefused(constants.errno.EPIPE);
        return;
      }
      const entry = { request, onRefused };
      if (queue.length === 0 && attempt(entry)) return;
      if (queue.length === 0) watch.writable(true);
      queue.push(entry);
    },
    kill() {
      if (gone === null) process.kill(pid, 'SIGKILL');
    },
    close: async () => (await end()).inOrder,
  };
}

const OUTPUT = 4; // MAYFLY_EVENT_OUTPUT

interface Exit {
  readonly detail: string;
  readonly inOrder: boolean;
}

async function reap(library: NativeLibrary, pid: number): Promise<Exit> {
  const killAt = Date.now() + EXIT_WAIT_MS;
  let killed = false;
  for (;;) {
    const { result, status } = library.reap(pid);
    if (result !== -constants.errno.EAGAIN) {
      return { detail: exitText(result, status), inOrder: result >= 0 && status === 0 };
    }
    if (!killed && Date.now() > killAt) {
      killed = true;
      process.kill(pid, 'SIGKILL');
    }
    await sleep(REAP_INTERVAL_MS);
  }
}

/** A wait status in words. */
function exitText(result: number, status: number): string {
  if (result < 0) return `the supervisor is gone (${errnoText(-result)})`;
  const signal = status & 0x7f;
  return signal === 0
    ? `the supervisor exited with ${(status >> 8) & 0xff}`
    : `the supervisor was killed by signal ${signal}`;
}
