/** The scheduler's scripts over a Redis of the test's own, without executors: the test is all of them. */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { newJobId, taskIdOf } from '../../services/contract/ids.js';
import type { NextParts, TaskPart, TaskWork } from '../../services/contract/task.js';
import { DEFAULT_CELL, DEFAULT_POOL, type Cell } from '../../services/platform/keys.js';
import { createScheduler } from '../../services/platform/scheduler.js';
import type { ClaimReply, Delivery } from '../../services/platform/script-replies.js';

export const FAULT = { stage: 'test', errno: 5, detail: 'made up', retryable: true };

export interface SubmitOptions {
  readonly priority?: number;
  readonly cpus?: number;
  readonly pools?: readonly string[];
  readonly first?: NextParts;
}

export interface HeldRun {
  readonly jobId: string;
  readonly taskId: string;
  readonly runToken: string;
  readonly run: number;
  readonly part: TaskPart;
}

export function workWith(tests?: TaskWork['tests']): TaskWork {
  return {
    image: 'i',
    boxMs: 1,
    compile: null,
    run: null,
    steps: null,
    files: [],
    filesOmitted: [],
    ...(tests === undefined ? {} : { tests }),
  };
}

export function slices(count: number, first = 0): TaskPart[] {
  return Array.from({ length: count }, (_, i) => ({
    kind: 'tests' as const,
    from: first + i,
    to: first + i + 1,
  }));
}

export function createSchedule(redis: Redis, cell: Cell = DEFAULT_CELL) {
  const scheduler = createScheduler({ redis, cell });

  async function submit(tenantId: string, options: SubmitOptions = {}) {
    const jobId: string = newJobId();
    const reply = await scheduler.submit({
      jobId,
      tenantId,
      pools: options.pools ?? [DEFAULT_POOL],
      priority: options.priority ?? 5,
      cpus: options.cpus ?? 1,
      channel: 'test-replies',
      language: 'python',
      image: 'base',
      metadata: '{}',
      spec: '{}',
      ...(options.first === undefined ? {} : { first: options.first }),
    });
    const admitted = reply.status === 'ok' ? reply.admitted : [];
    return { jobId, taskId: taskIdOf(jobId, 1), tenantId, admitted, status: reply.status };
  }

  function announce(slots: number, executorId = 'e1', pool = DEFAULT_POOL, ahead = 0) {
    return scheduler.announce({ executorId, pool, slots, ahead, ttlMs: 60_000, running: [] });
  }

  async function claim(
    delivery: Delivery,
    runToken: string = randomUUID(),
  ): Promise<{ runToken: string; reply: ClaimReply }> {
    return { runToken, reply: await scheduler.claim(delivery, runToken, 'e1') };
  }

  /** Claims what has to be there to be claimed. */
  async function start(delivery: Delivery): Promise<HeldRun> {
    const { runToken, reply } = await claim(delivery);
    if (reply.status !== 'go') throw new Error(`the claim was answered ${reply.status}`);
    const { jobId, run, part } = reply;
    return { jobId, taskId: delivery.taskId, runToken, run, part };
  }

  return { scheduler, submit, announce, claim, start };
}

export type Schedule = ReturnType<typeof createSchedule>;
