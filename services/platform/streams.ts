/**
 * This replica's ear for executors: answers to what clients do to jobs, and the output of jobs that
 * clients follow here. Costs nothing but a subscription while nobody does either.
 */
import type { Redis } from 'ioredis';
import { replicaMessageSchema, type Action, type Position } from '../contract/control.js';
import type { Blobs } from './blobs.js';
import { createActions, type Actions } from './actions.js';
import { listenTo } from './channel.js';
import { Refusal, refusalOf } from './errors.js';
import { Follower, type FollowerDeps, type Sink } from './follower.js';
import { createJobReader } from './job-reader.js';
import { createKeys, type Cell } from './keys.js';
import type { Logger } from './logger.js';
import type { Scheduler } from './scheduler.js';

const RECHECK_MS = 15_000;
/** Of one replica; each holds a connection and up to a window of output. */
const FOLLOWERS_MAX = 4_096;

export interface StreamsOptions {
  /** The fail-fast one. */
  readonly redis: Redis;
  readonly subscriber: Redis;
  readonly scheduler: Pick<Scheduler, 'locate'>;
  /** Where the large outputs of ended jobs lie. */
  readonly blobs: Pick<Blobs, 'read'>;
  readonly replicaId: string;
  readonly cell: Cell;
  readonly logger: Logger;
  readonly recheckMs?: number;
}

export interface Following {
  close(): void;
}

export interface Streams {
  /** Throws a Refusal when it cannot be done. */
  act(tenantId: string, jobId: string, action: Action): Promise<void>;
  /** Throws a Refusal (`not_found` for a foreign job) before anything was sent. */
  follow(tenantId: string, jobId: string, from: Position | null, sink: Sink): Promise<Following>;
  /** Throws a Refusal when there is no such job, or it is another tenant's. */
  exists(tenantId: string, jobId: string): Promise<void>;
  count(): number;
  close(): void;
}

/** Who follows what here, and as which listener. */
class Followers {
  readonly #followers = new Map<Follower, Sink>();
  readonly #byListener = new Map<string, Follower>();

  get size(): number {
    return this.#followers.size;
  }

  add(deps: Omit<FollowerDeps, 'onListener' | 'onClosed'>): Follower {
    const follower: Follower = new Follower({
      ...deps,
      onListener: (listener) => this.#byListener.set(listener, follower),
      onClosed: (listeners) => {
        for (const listener of listeners) this.#byListener.delete(listener);
        this.#followers.delete(follower);
      },
    });
    this.#followers.set(follower, deps.sink);
    return follower;
  }

  of(listener: string): Follower | undefined {
    return this.#byListener.get(listener);
  }

  all(): readonly Follower[] {
    return [...this.#followers.keys()];
  }

  end(): void {
    for (const [follower, sink] of [...this.#followers]) {
      sink.end();
      follower.close();
    }
  }
}

interface Parts extends StreamsOptions {
  readonly channel: string;
  readonly actions: Actions;
  readonly followers: Followers;
}

async function follow(
  parts: Parts,
  tenantId: string,
  jobId: string,
  from: Position | null,
  sink: Sink,
): Promise<Following> {
  const { followers, redis, cell } = parts;
  if (followers.size >= FOLLOWERS_MAX) {
    throw new Refusal('capacity', 'Too many clients follow jobs here.');
  }
  const reader = createJobReader(redis, cell);
  const follower = followers.add({ ...parts, reader, tenantId, jobId, from, sink });
  let there = false;
  try {
    there = await follower.look();
  } catch (error) {
    throw refusalOf(error);
  } finally {
    if (!there) follower.close();
  }
  if (!there) throw new Refusal('not_found', 'No such job.');
  return follower;
}

export function createStreams(options: StreamsOptions): Streams {
  const { redis, scheduler, replicaId, cell, logger } = options;
  const keys = createKeys(cell);
  const channel = keys.streams(replicaId);
  const actions = createActions({ redis, keys, scheduler, channel });
  const followers = new Followers();

  function each(work: (follower: Follower) => Promise<unknown>, jobId?: string): void {
    for (const follower of followers.all()) {
      if (jobId !== undefined && follower.jobId !== jobId) continue;
      work(follower).catch((error: unknown) => {
        logger.debug({ err: error, jobId: follower.jobId }, 'could not look at a job');
      });
    }
  }

  function take(text: string): void {
    const message = replicaMessageSchema.parse(JSON.parse(text));
    if (message.kind === 'reply') actions.answered(message.id, message.refusal);
    else if (message.kind === 'changed') each((follower) => follower.look(), message.jobId);
    else followers.of(message.listener)?.take(message);
  }

  const onHeard = (): void => each((follower) => follower.restart());
  listenTo({ ...options, channel, take, onHeard });
  const recheckMs = options.recheckMs ?? RECHECK_MS;
  const timer = setInterval(() => each((follower) => follower.look()), recheckMs);
  timer.unref();
  const parts: Parts = { ...options, channel, actions, followers };

  return {
    act: actions.act,
    async exists(tenantId, jobId) {
      const { status } = await scheduler.locate(jobId, tenantId).catch((error: unknown) => {
        throw refusalOf(error);
      });
      if (status === 'missing') throw new Refusal('not_found', 'No such job.');
    },
    follow: (...what) => follow(parts, ...what),
    count: () => followers.size,
    close() {
      clearInterval(timer);
      followers.end();
    },
  };
}
