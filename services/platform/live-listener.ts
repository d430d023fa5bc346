/** One listener to a run: how far it is, how much it may still be sent, and when. */
import type { Position, ReplicaMessage } from '../contract/control.js';
import type { TestEvent } from '../contract/job.js';

export type StreamName = 'stdout' | 'stderr';

/** What a step has written so far. */
export interface OutputView {
  size(stream: StreamName): number;
  /** At most `max` bytes from `from` on. */
  slice(stream: StreamName, from: number, max: number): Buffer;
}

export interface LiveStep {
  readonly name: string;
  readonly output: OutputView;
}

/** What there is to be heard of a run; grows while it lasts. */
export interface Heard {
  readonly run: number;
  readonly steps: readonly LiveStep[];
  /** Of a judge job: those that have a result. */
  readonly tests: readonly TestEvent[];
}

/** Output is sent in pieces of at most this, and small ones at most so often. */
const PIECE_BYTES = 16 * 1024;
const PIECE_EVERY_MS = 20;

export class LiveListener {
  readonly #id: string;
  readonly #heard: Heard;
  readonly #send: (message: ReplicaMessage) => void;
  #position: Position;
  /** The step that the listener was told of last. */
  #told: number;
  #tests = 0;
  #credit: number;
  #sentAtMs = 0;
  #heardOfAtMs = Date.now();
  #timer: NodeJS.Timeout | null = null;

  constructor(
    { listener, from, credit }: { listener: string; from: Position; credit: number },
    heard: Heard,
    send: (message: ReplicaMessage) => void,
  ) {
    const { run } = heard;
    this.#id = listener;
    this.#heard = heard;
    this.#send = send;
    this.#credit = credit;
    this.#position = from.run === run ? from : { run, step: 0, stdout: 0, stderr: 0 };
    // Whoever resumes in the middle of a step knows of it.
    const { step, stdout, stderr } = this.#position;
    this.#told = stdout + stderr > 0 ? step : step - 1;
  }

  get silentMs(): number {
    return Date.now() - this.#heardOfAtMs;
  }

  /** With 0 it only says that it is still there. */
  more(credit: number): void {
    this.#heardOfAtMs = Date.now();
    this.#credit += credit;
    if (credit > 0) this.somethingNew();
  }

  /** Sends at once what comes after a pause, and together what comes in quick succession. */
  somethingNew(): void {
    const waitMs = this.#sentAtMs + PIECE_EVERY_MS - Date.now();
    if (waitMs <= 0 || this.#pending() >= PIECE_BYTES) this.pump();
    else this.#timer ??= setTimeout(() => this.pump(), waitMs);
  }

  /** Sends what there is, as far as the credit goes. */
  pump(): void {
    this.stop();
    this.#sentAtMs = Date.now();
    const { run, steps, tests } = this.#heard;
    for (const test of tests.slice(this.#tests)) {
      this.#send({ kind: 'test', listener: this.#id, test });
    }
    this.#tests = tests.length;
    for (;;) {
      const { step: index } = this.#position;
      const step = steps[index];
      if (step === undefined) return;
      if (this.#told < index) {
        this.#told = index;
        this.#send({ kind: 'step', listener: this.#id, run, step: index, name: step.name });
      }
      if (this.#sendPiece(step)) continue;
      if (index === steps.length - 1 || this.#pending() > 0) return;
      this.#position = { run, step: index + 1, stdout: 0, stderr: 0 };
    }
  }

  /** Sends nothing by itself any more. */
  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** Of the step that it is at. */
  #pending(): number {
    const { step, stdout, stderr } = this.#position;
    const output = this.#heard.steps[step]?.output;
    if (output === undefined) return 0;
    const beyond = (stream: StreamName, from: number): number =>
      Math.max(0, output.size(stream) - from);
    return beyond('stdout', stdout) + beyond('stderr', stderr);
  }

  /** False: there is none, or it may not be sent yet. */
  #sendPiece({ output }: LiveStep): boolean {
    const most = Math.min(PIECE_BYTES, this.#credit);
    for (const stream of ['stdout', 'stderr'] as const) {
      const { run, step, [stream]: offset } = this.#position;
      if (most === 0 || output.size(stream) <= offset) continue;
      const bytes = output.slice(stream, offset, most);
      const data = bytes.toString('base64');
      this.#send({ kind: 'output', listener: this.#id, run, step, stream, offset, data });
      this.#position = { ...this.#position, [stream]: offset + bytes.length };
      this.#credit -= bytes.length;
      return true;
    }
    return false;
  }
}
