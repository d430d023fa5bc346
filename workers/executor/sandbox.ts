/**
 * The port behind which boxes are made. What the program does is returned; what the sandbox fails at
 * is thrown as a SandboxFault. Requests about one box are carried out in the order in which they are
 * made, so they may be made back to back; each promise settles when its own request is done.
 */
import type { LiveLimits, TerminalSize } from '../../services/contract/control.js';
import type { Limits } from '../../services/contract/limits.js';
import type { Outcome } from '../../services/contract/outcomes.js';

export interface Sandbox {
  /** Boxes that name this layer are not opened any more; its directory may go once those that did are closed. */
  dropLayer(path: string): void;
  /** Waits, within a bound, for a sandbox that is just being restarted. */
  openBox(spec: BoxSpec): Promise<Box>;
  /** The pieces one after the other. Nothing of a slice passes through the heap. */
  gather(pieces: readonly Piece[]): Promise<Memory>;
  /** Files for a box, of which any may be a slice. */
  pack(files: readonly SourceFile[]): Promise<Packed>;
  /** Ends all boxes and the sandbox with them. */
  stop(): Promise<void>;
}

/**
 * Bytes in the kernel's memory, outside of the heap, that nobody can change any more: any number of boxes may
 * read them. Whoever holds it closes it, once nothing that was asked with it is still going on.
 */
export interface Memory {
  readonly fd: number;
  readonly bytes: number;
  /** Safe to repeat. */
  close(): void;
}

/** Part of an open file of this host, or of memory. */
export interface Slice {
  readonly fd: number;
  readonly at: number;
  readonly bytes: number;
}

export type Piece = Buffer | Slice;

/** Files that are ready to be put. */
export interface Packed {
  readonly files: number;
  readonly memory: Memory;
}

export interface BoxSpec {
  /** Name of an image. */
  readonly image: string;
  /** A directory on the host that is laid on the image, read-only; no job may have a say in its name. */
  readonly layer?: string | null;
  /**
   * An image of the sandbox's own, whose boxes have the interpreter of their first step started: taken when one is
   * ready. Nothing but time, and whether the step ends as `warm`, tells it from any other box.
   */
  readonly warm?: string | null;
  /** The largest that a step of this box will be allowed. */
  readonly diskBytes: number;
  readonly files: number;
  /** No other box runs on the core that it has; there is one for all of a sandbox's CPUs but one. */
  readonly alone?: boolean;
}

export interface Box {
  put(files: readonly BoxFile[] | Packed): Promise<PutEnd>;
  step(step: StepSpec, onOutput: OnOutput): Promise<StepEnd>;
  collect(spec: CollectSpec): Promise<Collected>;
  /** Everything below a work directory, which is the caller's to close. Over a cap: a fault. */
  packTree(spec: TreeSpec): Promise<Memory>;
  /**
   * A pipe from the next step of this box to the next step of another of the same sandbox; neither has been asked
   * for yet. Where a box is dead, the other finds its pipe closed at the far end.
   */
  pipeTo(other: Box, pipe: Pipe): void;
  /** What its steps write is told as it comes from here on; else it may come all at once, at the latest with the end. */
  follow(): void;
  /** The running step ends as `cancelled`. */
  cancel(): void;
  /** Does something to the step that runs. */
  control(control: Control): Promise<ControlEnd>;
  /** Resolves when all processes of the box are dead. What still waits rejects. Safe to repeat. */
  close(): Promise<void>;
}

export interface Pipe {
  /** As what the one that writes finds it, and the one that reads. A descriptor 0 is all the input there is. */
  readonly from: number;
  readonly to: number;
  /**
   * Neither side sees the other's end before it is recorded, so that `endedAtUs` tells which was first. Who closes
   * such a descriptor while it runs is not noticed.
   */
  readonly held: boolean;
  /** Is told what goes through, and makes it count as output: beyond `outputBytes` the writer is killed. */
  readonly onPassed: ((chunk: Buffer) => void) | null;
}

export interface BoxFile {
  /** Absolute in the box. */
  readonly path: string;
  readonly mode: number;
  readonly content: Buffer;
}

/** One whose content need not pass through the heap. */
export interface SourceFile {
  readonly path: string;
  readonly mode: number;
  readonly content: Piece;
}

/** Null: written. Else what the kernel said to the file at `index`, which is the job's doing. */
export type PutEnd = { readonly errno: number; readonly index: number } | null;

export interface StepSpec {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly stdin: Buffer | Memory;
  readonly limits: Readonly<Limits>;
  /** At the output limit: go on and drop the rest, instead of killing. */
  readonly truncateOutput: boolean;
  /** Both streams arrive as stdout, in order. */
  readonly mergeStderr: boolean;
  /** Standard output comes whole, as memory, with the end of the step: nothing of it passes the heap. */
  readonly keepStdout?: boolean;
  /** What it reads comes by `control` while it runs, and not from `stdin`. */
  readonly interactive?: boolean;
  /** Of an interactive step whose streams are all one terminal. */
  readonly terminal?: TerminalSize | null;
  /** How long it may be frozen in all. Default: it may not. */
  readonly frozenTimeMs?: number;
}

export type Control =
  | { readonly kind: 'freeze' | 'thaw' }
  | { readonly kind: 'limits'; readonly limits: LiveLimits }
  | { readonly kind: 'input'; readonly data: Buffer; readonly last: boolean }
  /** By number, to the foreground of the terminal, else to the program's process group. */
  | { readonly kind: 'signal'; readonly signal: number }
  | { readonly kind: 'resize'; readonly size: TerminalSize };

/** Null: done. Else why not, as the supervisor says it (mayfly.h). */
export type ControlEnd = { readonly errno: number } | null;

export type StreamName = 'stdout' | 'stderr';
export type OnOutput = (stream: StreamName, chunk: Buffer) => void;

export interface StepEnd {
  readonly outcome: Outcome;
  readonly exitCode: number | null;
  /** Its number. */
  readonly signal: number | null;
  readonly stdoutTruncated: boolean;
  readonly stderrTruncated: boolean;
  /** With `keepStdout`: standard output. */
  readonly kept?: Memory;
  readonly cpuTimeUs: number;
  readonly cpuUserUs: number;
  readonly cpuSystemUs: number;
  readonly wallTimeUs: number;
  readonly memoryBytesPeak: number;
  readonly processesPeak: number;
  readonly oomKills: number;
  readonly diskBytes: number;
  readonly ioReadBytes: number;
  readonly ioWriteBytes: number;
  /** Null: pid 1 of the box was killed before it could tell. */
  readonly contextSwitches: number | null;
  readonly majorPageFaults: number | null;
  /** How often the CPU counter was read for the limit. */
  readonly counterReads: number;
  /** From the request to the first instruction of the program. */
  readonly boxUs: number;
  /** When its stages began, in microseconds of the monotonic clock; exec may not have been seen. */
  readonly askedAtUs: number;
  readonly startedAtUs: number;
  readonly executedAtUs: number | null;
  readonly endedAtUs: number;
  /** The interpreter had started before the box was asked for. */
  readonly warm: boolean;
  /** Boxes of the image that were ready for the next job. */
  readonly poolReady: number;
}

export interface TreeSpec {
  /** Absolute; one of the image's own. */
  readonly directory: string;
  readonly files: number;
  readonly totalBytes: number;
}

export interface CollectSpec {
  /** Absolute, with `*`, `?` and `**`. */
  readonly patterns: readonly string[];
  readonly files: number;
  readonly fileBytes: number;
  readonly totalBytes: number;
}

export interface Collected {
  /** Slices of `memory`, which is to be closed when they have been read. */
  readonly files: readonly { readonly path: string; readonly content: Slice }[];
  readonly omitted: readonly { readonly path: string; readonly reason: string }[];
  readonly memory: Memory;
}
