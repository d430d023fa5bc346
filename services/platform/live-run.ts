/**
 * A run as others see it while it lasts: its output, sent to whoever listens, and what they do to it. The
 * output itself is held by the handler, for the result; here are only the listeners and how far each is.
 * While nobody listens, output costs one comparison.
 */
import type { Action, ActionRefusal, ControlMessage, ReplicaMessage } from '../contract/control.js';
import type { TestEvent } from '../contract/job.js';
import { LiveListener, type LiveStep, type OutputView } from './live-listener.js';
import type { Logger } from './logger.js';

export type ActionHandler = (action: Action) => Promise<ActionRefusal | null>;

/** What the handler of a run tells, and is told. */
export interface LiveRun {
  stepBegins(name: string, output: OutputView): void;
  /** The step that began last has written something. */
  wrote(): void;
  /** For everybody who listens now or later; read again from the result by whoever comes too late. */
  tested(test: TestEvent): void;
  /** Is called once somebody listens, which may be at once; only the handler that was set last is. */
  onListened(handler: () => void): void;
  /** Carries out what clients ask for. */
  onAction(handler: ActionHandler): void;
  /** Milliseconds since a client last was there or did something. */
  idleMs(): number;
}

/** For runs that nobody can listen to. */
export const NO_LIVE: LiveRun = {
  stepBegins: () => undefined,
  wrote: () => undefined,
  tested: () => undefined,
  onListened: () => undefined,
  onAction: () => undefined,
  idleMs: () => 0,
};

export interface LiveRunDeps {
  readonly run: number;
  /** To how many it went. */
  readonly publish: (channel: string, message: string) => Promise<number>;
  readonly logger: Logger;
}

/** A listener that has not been heard of for so long is gone. */
const LISTENER_MS = 60_000;
const LISTENERS_MAX = 64;

type RunMessage = Exclude<ControlMessage, { kind: 'cancel' }>;
type Message<K extends RunMessage['kind']> = Extract<RunMessage, { kind: K }>;

export class LiveRunHost implements LiveRun {
  readonly #deps: LiveRunDeps;
  readonly #steps: LiveStep[] = [];
  readonly #tests: TestEvent[] = [];
  readonly #listeners = new Map<string, LiveListener>();
  #listened: (() => void) | null = null;
  #act: ActionHandler | null = null;
  #acting: Promise<unknown> = Promise.resolve();
  #activeAtMs = Date.now();

  constructor(deps: LiveRunDeps) {
    this.#deps = deps;
  }

  stepBegins(name: string, output: OutputView): void {
    this.#steps.push({ name, output });
    for (const listener of this.#listeners.values()) listener.pump();
  }

  wrote(): void {
    if (this.#listeners.size === 0) return;
    for (const listener of this.#listeners.values()) listener.somethingNew();
  }

  tested(test: TestEvent): void {
    this.#tests.push(test);
    for (const listener of this.#listeners.values()) listener.somethingNew();
  }

  onListened(handler: () => void): void {
    this.#listened = handler;
    if (this.#listeners.size > 0) this.#tellListened();
  }

  onAction(handler: ActionHandler): void {
    this.#act = handler;
  }

  idleMs(): number {
    for (const [id, listener] of this.#listeners) {
      if (listener.silentMs > LISTENER_MS) this.#drop(id, listener);
    }
    return this.#listeners.size > 0 ? 0 : Date.now() - this.#activeAtMs;
  }

  take(message: RunMessage): void {
    switch (message.kind) {
      case 'watch':
        this.#watch(message);
        return;
      case 'more':
        this.#listeners.get(message.listener)?.more(message.credit);
        return;
      case 'unwatch':
        this.#drop(message.listener, this.#listeners.get(message.listener));
        return;
      case 'act':
        this.#takeAction(message);
    }
  }

  /** Sends what there is to be sent; what a listener has no credit for, it reads from the result. */
  close(): void {
    this.#act = null;
    this.#listened = null;
    for (const [id, listener] of this.#listeners) {
      listener.pump();
      this.#drop(id, listener);
    }
  }

  #watch(message: Message<'watch'>): void {
    const { listener: id, channel } = message;
    const { run, logger } = this.#deps;
    this.#drop(id, this.#listeners.get(id));
    if (this.#listeners.size >= LISTENERS_MAX) {
      logger.warn({ listeners: this.#listeners.size }, 'too many listen to one run');
      return;
    }
    const heard = { run, steps: this.#steps, tests: this.#tests };
    const listener: LiveListener = new LiveListener(message, heard, (text) => {
      this.#send(channel, text, () => this.#drop(id, listener));
    });
    this.#listeners.set(id, listener);
    this.#tellListened();
    listener.pump();
  }

  #tellListened(): void {
    this.#listened?.();
    this.#listened = null;
  }

  #send(channel: string, message: ReplicaMessage, onNobody: () => void): void {
    const { publish, logger } = this.#deps;
    publish(channel, JSON.stringify(message)).then(
      (receivers) => {
        // The replica is gone; whoever listened there comes back through another one.
        if (receivers === 0) onNobody();
      },
      (error: unknown) => {
        logger.debug({ err: error }, 'a listener was not told');
      },
    );
  }

  #drop(id: string, listener: LiveListener | undefined): void {
    listener?.stop();
    if (listener === undefined || this.#listeners.get(id) !== listener) return;
    this.#listeners.delete(id);
    if (this.#listeners.size === 0) this.#activeAtMs = Date.now();
  }

  /** One after the other, in the order in which they came. */
  #takeAction({ channel, id, action }: Message<'act'>): void {
    this.#activeAtMs = Date.now();
    this.#acting = this.#acting.then(async () => {
      let refusal: ActionRefusal | null = 'not_running';
      try {
        if (this.#act !== null) refusal = await this.#act(action);
      } catch (error) {
        // The box is gone, and with it what was to be done to it.
        this.#deps.logger.debug({ err: error }, 'an action was not carried out');
      }
      this.#send(channel, { kind: 'reply', id, refusal }, () => undefined);
    });
  }
}
