/** What clients do to a job that runs: said to the executors that run it, which answer. */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import {
  ACTION_REFUSALS,
  type Action,
  type ActionRefusal,
  type ControlMessage,
} from '../contract/control.js';
import { Refusal, refusalOf } from './errors.js';
import type { Keys } from './keys.js';
import type { Scheduler } from './scheduler.js';
import type { RunHolder } from './script-replies.js';

/** Longer than an executor takes to find out that nothing runs in the box yet. */
const ANSWER_MS = 5_000;

export interface ActionsOptions {
  /** The fail-fast one. */
  readonly redis: Redis;
  readonly keys: Keys;
  readonly scheduler: Pick<Scheduler, 'locate'>;
  /** Where the answers come. */
  readonly channel: string;
}

export function createActions({ redis, keys, scheduler, channel }: ActionsOptions) {
  const asked = new Map<string, (refusal: ActionRefusal | null) => void>();

  async function tell(executorId: string, message: ControlMessage): Promise<number> {
    return await redis.publish(keys.control(executorId), JSON.stringify(message));
  }

  async function ask({ executorId, runToken }: RunHolder, action: Action) {
    const id = randomUUID();
    let timer: NodeJS.Timeout | undefined;
    const answer = new Promise<ActionRefusal | null>((resolve, reject) => {
      asked.set(id, resolve);
      timer = setTimeout(() => {
        reject(new Refusal('unavailable', 'The executor does not answer.'));
      }, ANSWER_MS);
    });
    answer.catch(() => undefined);
    try {
      const heard = await tell(executorId, { kind: 'act', runToken, channel, id, action });
      if (heard === 0) throw new Refusal('unavailable', 'The executor cannot be reached.');
      return await answer;
    } finally {
      clearTimeout(timer);
      asked.delete(id);
    }
  }

  /** Null: there is no such job, or it is another tenant's. */
  async function attempt(
    tenantId: string,
    jobId: string,
    action: Action,
  ): Promise<ActionRefusal | 'done' | null> {
    const cpus = action.kind === 'limits' ? action.limits.cpus : undefined;
    const located = await scheduler.locate(jobId, tenantId, { cpus });
    if (located.status === 'missing') return null;
    if (located.status !== 'running' || located.holders.length === 0) return 'not_running';
    const answers = await Promise.all(located.holders.map((holder) => ask(holder, action)));
    return answers.find((refusal) => refusal !== null) ?? 'done';
  }

  async function act(tenantId: string, jobId: string, action: Action): Promise<void> {
    let result: ActionRefusal | 'done' | null;
    try {
      result = await attempt(tenantId, jobId, action);
    } catch (error) {
      throw refusalOf(error);
    }
    if (result === null) throw new Refusal('not_found', 'No such job.');
    if (result === 'done') return;
    const code = result === 'input_full' ? 'input_full' : 'conflict';
    throw new Refusal(code, ACTION_REFUSALS[result]);
  }

  return {
    act,
    tell,
    answered(id: string, refusal: ActionRefusal | null): void {
      asked.get(id)?.(refusal);
    },
  };
}

export type Actions = ReturnType<typeof createActions>;
