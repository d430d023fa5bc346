/** The scheduler as an executor uses it: a run is claimed, and ended by whoever claimed it. */
import { z } from 'zod';
import { RUNS_MAX, type Fault } from '../contract/faults.js';
import type { JobProblem } from '../contract/job.js';
import type { NextParts, TaskWork } from '../contract/task.js';
import { createScript } from './redis.js';
import { billOf } from './bill.js';
import { resultFields } from './result-parts.js';
import type { RunScript, ScriptArgs } from './scheduler.js';
import {
  formatPart,
  parseDelivery,
  parsePart,
  parseReply,
  parseSettled,
  type ClaimReply,
  type Delivery,
  type Holder,
  type RequeueReply,
  type SettleReply,
} from './script-replies.js';
import { CLAIM } from './scripts/claim.js';
import { REQUEUE } from './scripts/requeue.js';
import { SETTLE } from './scripts/settle.js';

/** The first repeat is quick, for a supervisor that is being restarted; the last gives things time. */
const REQUEUE_DELAYS_MS = [250, 1_000, 4_000];

const text = z.string();
const time = z.string().transform(Number);
const claimedSchema = z.tuple([text, text, text, text, time, time]);

const LOST: JobProblem = {
  code: 'execution_fault',
  stage: 'lost',
  detail: `The executor was lost in each of ${RUNS_MAX} runs.`,
  retryable: true,
};

/** What follows from a task that has finished. */
export interface Then {
  readonly next?: NextParts | undefined;
  readonly stop?: boolean | undefined;
  /** Whoever settles asks for its next task as soon as this is answered. */
  readonly asks?: boolean | undefined;
}

function problemOf(fault: Fault): JobProblem {
  const { stage, detail, retryable } = fault;
  return { code: 'execution_fault', stage, detail, retryable };
}

/** What ran, for a script: nothing, or its bill and then its heavy half as names and values. */
function resultArgs(work: TaskWork | null): ScriptArgs {
  if (work === null) return [];
  const parts = Object.entries(resultFields(work)).flat();
  const bytes = parts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  const { cpuMs, memoryByteMs } = billOf(work);
  return [work.image, work.boxMs, bytes, cpuMs, Math.round(memoryByteMs), ...parts];
}

export function createRunScripts(run: RunScript, retentionMs: number) {
  const scripts = {
    claim: createScript(CLAIM, 'claim'),
    settle: createScript(SETTLE, 'settle'),
    requeue: createScript(REQUEUE, 'requeue'),
  };

  async function claim(
    delivery: Delivery,
    runToken: string,
    executorId: string,
  ): Promise<ClaimReply> {
    const { status, rest } = parseReply(
      await run(scripts.claim, [
        delivery.taskId,
        delivery.admission,
        runToken,
        executorId,
        RUNS_MAX,
        retentionMs,
        JSON.stringify(LOST),
      ]),
      ['go', 'gone', 'stale', 'ended'],
    );
    if (status !== 'go') return { status, admitted: rest.map(parseDelivery) };
    const [runNumber, jobId, tenantId, part, queuedAtMs, admittedAtMs] = claimedSchema.parse(rest);
    const times = { queuedAtMs, admittedAtMs };
    return { status, run: Number(runNumber), jobId, tenantId, part: parsePart(part), ...times };
  }

  /** The end as the program made it: it finished, or the client's wish was carried out. */
  async function settle(
    holder: Holder,
    status: 'finished' | 'cancelled',
    work: TaskWork | null,
    { next, stop = false, asks = false }: Then = {},
  ): Promise<SettleReply> {
    const head = [holder.taskId, holder.runToken, status, retentionMs];
    const parts = (next?.parts ?? []).map(formatPart);
    const flags = [stop ? '1' : '0', asks ? '1' : '0'];
    const then = [...flags, next?.parallel ?? 1, parts.length, ...parts];
    return parseSettled(await run(scripts.settle, [...head, ...then, ...resultArgs(work)]));
  }

  /** After a fault, or (`excused`) because the executor stops. */
  async function requeue(
    holder: Holder & { readonly run: number },
    fault: Fault,
    { excused, work }: { readonly excused: boolean; readonly work: TaskWork | null },
  ): Promise<RequeueReply> {
    const delayMs = excused
      ? 0
      : (REQUEUE_DELAYS_MS[holder.run - 1] ?? REQUEUE_DELAYS_MS.at(-1) ?? 0);
    const head = [
      holder.taskId,
      holder.runToken,
      excused ? '1' : '0',
      delayMs,
      RUNS_MAX,
      retentionMs,
      JSON.stringify(problemOf(fault)),
      fault.retryable ? '1' : '0',
    ];
    const reply = await run(scripts.requeue, [...head, ...resultArgs(work)]);
    const parsed = parseReply(reply, ['queued', 'failed', 'cancelled', 'fenced']);
    return { status: parsed.status, admitted: parsed.rest.map(parseDelivery), delayMs };
  }

  return { claim, settle, requeue };
}
