/**
 * One reader of a job's output, from wherever it got to before, through whichever replica: what the
 * executors that run the job hold, live, and what is in the result once the job has ended. A message is
 * never trusted to arrive: positions tell what was missed, and the result has everything.
 */
import { randomUUID } from 'node:crypto';
import { START, type Position, type ReplicaMessage } from '../contract/control.js';
import type { Job, TestEvent } from '../contract/job.js';
import type { Actions } from './actions.js';
import type { Blobs } from './blobs.js';
import { FollowedTests } from './followed-tests.js';
import type { JobReader } from './job-reader.js';
import type { StreamName } from './live-listener.js';
import type { Logger } from './logger.js';
import type { Scheduler } from './scheduler.js';
import { PLAN_PART } from './result-parts.js';
import type { RunHolder } from './script-replies.js';
import { stepsOf, storedOutput } from './stored-output.js';

/** Where it all goes. Nothing of it waits; `room` says when more may come. */
export interface Sink {
  state(state: { readonly status: 'queued' | 'running'; readonly run: number }): void;
  step(step: { readonly step: number; readonly name: string }, at: Position): void;
  output(stream: StreamName, offset: number, data: string, at: Position): void;
  /** Each test once, for each run of the job. */
  test(test: TestEvent): void;
  finished(job: Job, at: Position): void;
  /** The job is not there any more, or the service stops: the reader may come again. */
  end(): void;
  /** Resolves when what was written has been taken by the reader; rejects when it takes too long. */
  room(): Promise<void>;
}

export interface FollowerDeps {
  readonly tenantId: string;
  readonly jobId: string;
  readonly from: Position | null;
  readonly sink: Sink;
  readonly channel: string;
  readonly scheduler: Pick<Scheduler, 'locate'>;
  readonly actions: Pick<Actions, 'tell'>;
  readonly reader: Pick<JobReader, 'read' | 'readParts' | 'readTests'>;
  readonly blobs: Pick<Blobs, 'read'>;
  readonly logger: Logger;
  readonly onClosed: (listeners: readonly string[]) => void;
  readonly onListener: (listener: string) => void;
}

/** Bytes on their way to a reader that it has not taken yet. */
const WINDOW_BYTES = 256 * 1024;
/** An executor that is not heard is asked again after so long. */
const RETRY_MS = 200;

type Live = Extract<ReplicaMessage, { listener: string }>;

export class Follower {
  readonly #deps: FollowerDeps;
  readonly #id = randomUUID();
  /** Whom we have asked, by the listener that we are to them. */
  readonly #watched = new Map<string, RunHolder>();
  readonly #listeners = new Set<string>();
  #at: Position;
  #told: string | null = null;
  #toldStep: number;
  readonly #tests: FollowedTests;
  #compileRead = false;
  #owed = 0;
  #paying = false;
  #looking = false;
  #again = false;
  #closed = false;
  #retry: NodeJS.Timeout | null = null;

  constructor(deps: FollowerDeps) {
    this.#deps = deps;
    this.#at = deps.from ?? START;
    const { jobId, reader, sink } = deps;
    const tell = (test: TestEvent) => sink.test(test);
    this.#tests = new FollowedTests({ jobId, reader, tell, room: () => sink.room() });
    this.#toldStep = this.#at.stdout + this.#at.stderr > 0 ? this.#at.step : this.#at.step - 1;
  }

  get jobId(): string {
    return this.#deps.jobId;
  }

  /** Reads what the job is doing, and asks for what is not on its way yet. False: there is none. */
  async look(): Promise<boolean> {
    if (this.#looking) {
      this.#again = true;
      return true;
    }
    this.#looking = true;
    try {
      do {
        this.#again = false;
        if (!(await this.#lookOnce())) return false;
      } while (this.#mustLookAgain());
      return true;
    } finally {
      this.#looking = false;
    }
  }

  #mustLookAgain(): boolean {
    return this.#again && !this.#closed;
  }

  async #lookOnce(): Promise<boolean> {
    const { scheduler, jobId, tenantId, channel, sink, reader } = this.#deps;
    const [located, parts] = await Promise.all([
      scheduler.locate(jobId, tenantId, { channel }),
      reader.readParts(jobId),
    ]);
    if (this.#closed) return true;
    if (located.status === 'missing') return false;
    if (located.status === 'final') {
      await this.#finish();
      return true;
    }
    const { status, holders } = located;
    const run = Math.max(located.run, ...holders.map((holder) => holder.run));
    const isJudged = parts.includes(PLAN_PART);
    if (run !== this.#at.run && (holders.length > 0 || isJudged)) this.#startAnew(run);
    const told = `${status} ${run}`;
    if (told !== this.#told) sink.state({ status, run });
    this.#told = told;
    for (const [listener, { runToken }] of this.#watched) {
      if (!holders.some((holder) => holder.runToken === runToken)) this.#watched.delete(listener);
    }
    if (isJudged) await this.#catchUp(parts);
    await Promise.all(holders.map((holder) => this.#watch(holder)));
    return true;
  }

  /** What of a judge job that runs is in its result by now: nobody can be asked about that any more. */
  async #catchUp(parts: readonly string[]): Promise<void> {
    const { reader, tenantId, jobId } = this.#deps;
    if (!this.#compileRead) {
      const job = await reader.read(tenantId, jobId, ['stdout', 'stderr']);
      if (job !== null) await this.#replaySteps(job);
      this.#compileRead = true;
    }
    await this.#tests.readStored(parts);
  }

  #startAnew(run: number): void {
    this.#at = { ...START, run };
    this.#toldStep = -1;
    this.#compileRead = false;
    this.#tests.startAnew();
  }

  async #watch(holder: RunHolder): Promise<void> {
    const { actions, channel, onListener } = this.#deps;
    const { executorId, runToken } = holder;
    const listener = `${this.#id}:${runToken}`;
    if (this.#watched.has(listener) && this.#paying) {
      // The reader is behind, and is sent no more: says that we are still there.
      await actions.tell(executorId, { kind: 'more', runToken, listener, credit: 0 });
      return;
    }
    this.#watched.set(listener, holder);
    this.#listeners.add(listener);
    this.#owed = 0;
    onListener(listener);
    const credit = WINDOW_BYTES;
    const from = this.#at;
    // Said again at each look: what was lost on its way here is sent anew, what came is left out.
    const watch = { kind: 'watch', runToken, channel, listener, from, credit } as const;
    if ((await actions.tell(executorId, watch)) > 0 || this.#closed) return;
    // Its connection is broken as well; what it runs goes on.
    this.#watched.delete(listener);
    this.#retry ??= setTimeout(() => {
      this.#retry = null;
      this.look().catch((error: unknown) => this.#fail(error));
    }, RETRY_MS);
  }

  /** What was on its way when the connection broke is lost: everything is asked for again. */
  async restart(): Promise<void> {
    this.#watched.clear();
    await this.look();
  }

  take(message: Live): void {
    if (this.#closed || !this.#watched.has(message.listener)) return;
    if (message.kind === 'test') {
      this.#tests.take(message.test);
      return;
    }
    if (message.run !== this.#at.run) return;
    if (message.kind === 'step') {
      this.#beginStep(message.step, message.name);
      return;
    }
    this.#output(message);
  }

  #beginStep(step: number, name: string): void {
    if (step <= this.#toldStep) return;
    this.#toldStep = step;
    if (step > this.#at.step) this.#at = { run: this.#at.run, step, stdout: 0, stderr: 0 };
    this.#deps.sink.step({ step, name }, this.#at);
  }

  #output({ listener, step, stream, offset, data }: Extract<Live, { kind: 'output' }>): void {
    const bytes = Buffer.byteLength(data, 'base64');
    this.#pay(bytes);
    if (step !== this.#at.step || offset > this.#at[stream]) {
      this.#watched.delete(listener);
      void this.look().catch((error: unknown) => this.#fail(error));
      return;
    }
    if (offset < this.#at[stream]) return; // had that before
    this.#at = { ...this.#at, [stream]: offset + bytes };
    this.#deps.sink.output(stream, offset, data, this.#at);
  }

  /** What the reader has taken, the executor may send anew. */
  #pay(bytes: number): void {
    this.#owed += bytes;
    if (this.#paying || this.#owed < WINDOW_BYTES / 4) return;
    this.#paying = true;
    this.#payWhenRead().catch((error: unknown) => this.#fail(error));
  }

  async #payWhenRead(): Promise<void> {
    await this.#deps.sink.room();
    const credit = this.#owed;
    this.#owed = 0;
    this.#paying = false;
    for (const [listener, { executorId, runToken }] of this.#watched) {
      await this.#deps.actions.tell(executorId, { kind: 'more', runToken, listener, credit });
    }
  }

  async #finish(): Promise<void> {
    const { reader, tenantId, jobId, sink } = this.#deps;
    const job = await reader.read(tenantId, jobId, ['stdout', 'stderr']);
    if (this.#closed) return;
    if (job === null) {
      sink.end();
      this.close();
      return;
    }
    if (job.runs > 0 && this.#at.run !== job.runs) this.#startAnew(job.runs);
    if (this.#told === null && job.runs > 0) sink.state({ status: 'running', run: job.runs });
    await this.#replaySteps(job);
    await this.#tests.readStored(await reader.readParts(jobId));
    if (this.#isClosed()) return;
    const light = await reader.read(tenantId, jobId, []);
    if (light === null) sink.end();
    else sink.finished(light, this.#at);
    this.close();
  }

  /** The reader may go meanwhile. */
  #isClosed(): boolean {
    return this.#closed;
  }

  async #replaySteps(job: Job): Promise<void> {
    const { sink, blobs, tenantId } = this.#deps;
    const steps = stepsOf(job);
    for (let index = this.#at.step; index < steps.length; index += 1) {
      const step = steps[index];
      if (step === undefined) break;
      this.#beginStep(index, step.name);
      for (const stream of ['stdout', 'stderr'] as const) {
        const pieces = storedOutput(blobs, tenantId, step, stream, this.#at[stream]);
        for await (const piece of pieces) {
          if (this.#closed) return;
          const offset = this.#at[stream];
          this.#at = { ...this.#at, [stream]: offset + piece.length };
          sink.output(stream, offset, piece.toString('base64'), this.#at);
          await sink.room();
        }
      }
    }
  }

  #fail(error: unknown): void {
    if (this.#closed) return;
    this.#deps.logger.info({ err: error, jobId: this.jobId }, 'a reader was dropped');
    this.#deps.sink.end();
    this.close();
  }

  /** Tells the executors, which forget us anyway when they do not hear of us. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    for (const [listener, { executorId, runToken }] of this.#watched) {
      this.#deps.actions
        .tell(executorId, { kind: 'unwatch', runToken, listener })
        .catch(() => undefined);
    }
    this.#deps.onClosed([...this.#listeners]);
    this.#watched.clear();
  }
}
