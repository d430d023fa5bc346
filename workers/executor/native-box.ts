/**
 * One box on a supervisor: which of its requests wait for which event. The supervisor carries requests
 * out in order, so the first that waits is the one an event is about.
 */
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { SandboxFault } from '../../services/contract/faults.js';
import { LIMITS } from '../../services/contract/limits.js';
import { readCollected } from './collected-files.js';
import { errnoText } from './errno.js';
import { encodeFiles, encodeList, encodeStrings } from './native-archives.js';
import type { CollectRequest, NativeEvent, NativeLibrary } from './native-binding.js';
import { ownMemory } from './native-memory.js';
import { faultOf, limitsRequest, stepEnd, stepRequest } from './native-messages.js';
import {
  COLLECT_FLAGS,
  EVENT_KINDS,
  JOIN_FLAGS,
  meaningOf,
  PIPED,
  STREAMS,
  OPEN_ALONE,
} from './native-structs.js';
import type {
  Box,
  BoxFile,
  BoxSpec,
  Collected,
  CollectSpec,
  Control,
  ControlEnd,
  OnOutput,
  Packed,
  Memory,
  Pipe,
  TreeSpec,
  PutEnd,
  StepEnd,
  StepSpec,
} from './sandbox.js';
import type { SupervisorLink } from './supervisor-link.js';

export interface NativeBoxDeps {
  readonly id: number;
  readonly imageId: number;
  readonly library: NativeLibrary;
  readonly link: SupervisorLink;
  /** What a supervisor may take to answer, on top of what the program may. */
  readonly answerMs: number;
  /** The id may be used again. */
  readonly onClosed: () => void;
}

interface Controlled {
  readonly settle: Settle<ControlEnd>;
  readonly reject: Reject;
}

type Waiting = { readonly reject: Reject; readonly wallTimeMs: number } & (
  | { kind: 'put_end'; settle: Settle<PutEnd> }
  | { kind: 'step_end'; settle: Settle<StepEnd>; onOutput: OnOutput }
  | { kind: 'collect_end'; settle: Settle<Memory> }
);
/** Whatever a client makes of the limits of a step that runs. */
const LONGEST_STEP_MS = LIMITS.wallTimeMs.max;

type Settle<T> = (end: T | PromiseLike<T>) => void;
type Reject = (fault: SandboxFault) => void;

export class NativeBox implements Box {
  readonly #deps: NativeBoxDeps;
  readonly #waiting: Waiting[] = [];
  /** Answered apart from the others, and in their own order. */
  readonly #controlled: Controlled[] = [];
  /** Who is told what goes through a pipe of this box, by its descriptor. */
  readonly #passed = new Map<number, (chunk: Buffer) => void>();
  /** Beside the step's wall time: how long it may stand still. */
  #frozenTimeMs = 0;
  readonly #closed: Promise<void>;
  #settleClosed: () => void = () => undefined;
  /** The first is the cause; what follows are its consequences. */
  #fault: SandboxFault | null = null;
  #state: 'open' | 'closing' | 'closed' = 'open';
  #watchdog: NodeJS.Timeout | undefined;

  constructor(deps: NativeBoxDeps) {
    this.#deps = deps;
    this.#closed = new Promise((resolve) => (this.#settleClosed = resolve));
  }

  /** Has to be the first call. */
  open(spec: BoxSpec): void {
    const { id, imageId, library, link } = this.#deps;
    const request = {
      box: id,
      image: imageId,
      files_max: spec.files,
      disk_bytes_max: spec.diskBytes,
      flags: spec.alone === true ? OPEN_ALONE : 0,
      reserved: 0,
    };
    link.send(
      (fd) => library.open(fd, request),
      (errno) => {
        // No box was made, so no CLOSED will come.
        this.#refused(errno);
        this.#finish();
      },
    );
  }

  put(files: readonly BoxFile[] | Packed): Promise<PutEnd> {
    const { id, library } = this.#deps;
    return this.#ask<PutEnd>(
      'memory' in files
        ? (fd) => library.putMemory(fd, id, files.memory.fd)
        : putSmall(library, id, encodeFiles(files)),
      (settle, reject) => ({ kind: 'put_end', settle, reject, wallTimeMs: 0 }),
    );
  }

  step(step: StepSpec, onOutput: OnOutput): Promise<StepEnd> {
    const { id, library } = this.#deps;
    const packed = encodeStrings(step);
    const request = stepRequest(id, step, packed);
    const { wallTimeMs } = step.limits;
    const { stdin } = step;
    this.#frozenTimeMs = step.frozenTimeMs ?? 0;
    return this.#ask<StepEnd>(
      Buffer.isBuffer(stdin)
        ? (fd) => library.step(fd, request, packed.strings, stdin)
        : (fd) => library.stepMemory(fd, request, packed.strings, stdin.fd),
      (settle, reject) => ({ kind: 'step_end', settle, reject, onOutput, wallTimeMs }),
    );
  }

  collect({ patterns, files, fileBytes, totalBytes }: CollectSpec): Promise<Collected> {
    const { id } = this.#deps;
    const list = encodeList(patterns);
    const request = {
      box: id,
      file_bytes_max: fileBytes,
      total_bytes_max: totalBytes,
      files_max: files,
      patterns_count: patterns.length,
      patterns_bytes: list.length,
      flags: 0,
    };
    return this.#collect(request, list).then(({ fd, bytes }) => readCollected(fd, bytes));
  }

  packTree({ directory, files, totalBytes }: TreeSpec): Promise<Memory> {
    const list = encodeList([directory]);
    const request = {
      box: this.#deps.id,
      file_bytes_max: totalBytes,
      total_bytes_max: totalBytes,
      files_max: files,
      patterns_count: 1,
      patterns_bytes: list.length,
      flags: COLLECT_FLAGS.tree,
    };
    return this.#collect(request, list);
  }

  #collect(request: CollectRequest, patterns: Buffer): Promise<Memory> {
    return this.#ask<Memory>(
      (fd) => this.#deps.library.collect(fd, request, patterns),
      (settle, reject) => ({ kind: 'collect_end', settle, reject, wallTimeMs: 0 }),
    );
  }

  pipeTo(other: Box, { from, to, held, onPassed }: Pipe): void {
    const { id, library, link } = this.#deps;
    if (!(other instanceof NativeBox)) throw new Error('a pipe to a box of another sandbox');
    if (this.#fault !== null || this.#state !== 'open') throw this.#fault ?? closedFault();
    if (other.#deps.link !== link) {
      const detail = 'the supervisor was restarted between two boxes';
      throw new SandboxFault({ stage: 'supervisor', detail });
    }
    if (onPassed !== null) this.#passed.set(from, onPassed);
    const request = {
      from: id,
      from_descriptor: from,
      to: other.#deps.id,
      to_descriptor: to,
      flags: (onPassed === null ? 0 : JOIN_FLAGS.transcript) | (held ? JOIN_FLAGS.held : 0),
    };
    link.send(
      (fd) => library.join(fd, request),
      (errno) => this.#refused(errno),
    );
  }

  follow(): void {
    this.#tell((fd) => this.#deps.library.follow(fd, this.#deps.id));
  }

  cancel(): void {
    this.#tell((fd) => this.#deps.library.cancel(fd, this.#deps.id));
  }

  control(control: Control): Promise<ControlEnd> {
    const { link } = this.#deps;
    return new Promise((settle, reject) => {
      if (this.#fault !== null || this.#state !== 'open') {
        reject(this.#fault ?? closedFault());
        return;
      }
      this.#controlled.push({ settle, reject });
      if (control.kind === 'freeze' || control.kind === 'limits') {
        this.#watch(LONGEST_STEP_MS + this.#frozenTimeMs);
      }
      link.send(
        (fd) => this.#sendControl(fd, control),
        (errno) => this.#refused(errno),
      );
    });
  }

  #sendControl(fd: number, control: Control): number {
    const { id, library } = this.#deps;
    switch (control.kind) {
      case 'freeze':
        return library.freeze(fd, id);
      case 'thaw':
        return library.thaw(fd, id);
      case 'limits':
        return library.limits(fd, limitsRequest(id, control.limits));
      case 'input':
        return library.input(fd, id, control.data, control.last);
      case 'signal':
        return library.signal(fd, id, control.signal);
      case 'resize':
        return library.resize(fd, id, control.size.rows, control.size.columns);
    }
  }

  close(): Promise<void> {
    const { id, library, link } = this.#deps;
    if (this.#state === 'open') {
      this.#state = 'closing';
      this.#watch(0);
      link.send(
        (fd) => library.close(fd, id),
        // The supervisor is gone, and lose() is about to be called.
        () => undefined,
      );
    }
    return this.#closed;
  }

  handle(event: NativeEvent, data: Buffer): void {
    try {
      this.#dispatch(event, data);
    } catch (cause) {
      if (event.fd >= 0) closeSync(event.fd);
      const detail = cause instanceof Error ? cause.message : String(cause);
      this.#fail(new SandboxFault({ stage: 'protocol', detail }, { cause }));
      void this.close();
    }
  }

  /** The supervisor is gone, and the box with it. */
  lose(fault: SandboxFault): void {
    this.#fail(fault);
    this.#finish();
  }

  #dispatch(event: NativeEvent, data: Buffer): void {
    const { library } = this.#deps;
    const kind = meaningOf(EVENT_KINDS, event.kind, 'event');
    switch (kind) {
      case 'put_end': {
        const end = { errno: event.put_errno, index: event.index };
        this.#take(kind).settle(end.errno === 0 ? null : end);
        break;
      }
      case 'output':
        this.#output(event, data);
        break;
      case 'step_end':
        this.#take(kind).settle(stepEnd(event, library.outcomeName(event.outcome)));
        break;
      case 'collect_end':
        this.#take(kind).settle(ownMemory(event.fd, event.data_bytes));
        break;
      case 'fault':
        this.#fail(faultOf(event, library.stageName(event.stage)));
        break;
      case 'closed':
        this.#finish();
        break;
      case 'control_end': {
        const controlled = this.#controlled.shift();
        if (controlled === undefined) throw new Error('control_end without a request');
        controlled.settle(event.put_errno === 0 ? null : { errno: event.put_errno });
        break;
      }
      case 'ready':
      case 'image':
        throw new Error(`${kind} for a box`);
    }
  }

  #output(event: NativeEvent, data: Buffer): void {
    if (event.stream === PIPED) {
      // What a pipe still held may come when the step that wrote it has ended.
      this.#passed.get(event.index)?.(Buffer.from(data));
      return;
    }
    const first = this.#waiting[0];
    if (first?.kind !== 'step_end') throw new Error('output without a step');
    // The buffer is used again for the next event.
    first.onOutput(meaningOf(STREAMS, event.stream, 'stream'), Buffer.from(data));
  }

  /** Something that no event answers. */
  #tell(request: (fd: number) => number): void {
    if (this.#state !== 'open') return;
    this.#deps.link.send(request, (errno) => this.#refused(errno));
  }

  #ask<T>(
    request: (fd: number) => number,
    waits: (settle: Settle<T>, reject: Reject) => Waiting,
  ): Promise<T> {
    const promise = new Promise<T>((resolve, reject) => {
      if (this.#fault !== null || this.#state !== 'open') {
        reject(this.#fault ?? closedFault());
        return;
      }
      this.#waiting.push(waits(resolve, reject));
      if (this.#waiting.length === 1) this.#watchFirst();
      this.#deps.link.send(request, (errno) => this.#refused(errno));
    });
    // Requests are made ahead of need: one that nobody awaits any more must not end the process.
    promise.catch(() => undefined);
    return promise;
  }

  /** The request that an event ends; any other order means that both sides disagree about the box. */
  #take<K extends Waiting['kind']>(kind: K): Extract<Waiting, { kind: K }> {
    const first = this.#waiting[0];
    if (first?.kind !== kind) {
      throw new Error(`${kind} while waiting for ${first?.kind ?? 'nothing'}`);
    }
    this.#waiting.shift();
    this.#watchFirst();
    return first as Extract<Waiting, { kind: K }>;
  }

  #refused(errno: number): void {
    const gone = errno === constants.errno.EPIPE;
    const stage = gone ? 'supervisor' : 'protocol';
    const detail = `a request was not sent: ${errnoText(errno)}`;
    this.#fail(new SandboxFault({ stage, errno, detail }));
    if (!gone) void this.close();
  }

  #fail(fault: SandboxFault): void {
    this.#fault ??= fault;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#fault);
    for (const { reject } of this.#controlled.splice(0)) reject(this.#fault);
  }

  #watchFirst(): void {
    const first = this.#waiting[0];
    if (this.#state !== 'open') return;
    if (first === undefined) clearTimeout(this.#watchdog);
    else this.#watch(first.wallTimeMs);
  }

  /** Whoever enforces the limits may hang as well; then its boxes end with it, as a fault. */
  #watch(wallTimeMs: number): void {
    clearTimeout(this.#watchdog);
    const { answerMs, link } = this.#deps;
    this.#watchdog = setTimeout(() => {
      link.kill();
    }, wallTimeMs + answerMs);
  }

  #finish(): void {
    this.#state = 'closed';
    clearTimeout(this.#watchdog);
    // An error takes its time to be made, and mostly there is nobody who waits for one.
    if (this.#waiting.length + this.#controlled.length > 0) this.#fail(closedFault());
    this.#settleClosed();
    this.#deps.onClosed();
  }
}

function putSmall(library: NativeLibrary, box: number, archive: Buffer): (fd: number) => number {
  return (fd) => library.put(fd, box, archive);
}

function closedFault(): SandboxFault {
  return new SandboxFault({ stage: 'executor', detail: 'the box was closed' });
}
