/** The scheduler as the API uses it: jobs come in and are cancelled. */
import { WHOLE } from '../contract/task.js';
import type { RunScript } from './scheduler.js';
import {
  formatPart,
  parseDelivery,
  parseReply,
  type CancelReply,
  type LocateReply,
  type Submission,
  type SubmitReply,
} from './script-replies.js';
import { createScript } from './redis.js';
import { CANCEL } from './scripts/cancel.js';
import { LOCATE } from './scripts/locate.js';
import { SUBMIT } from './scripts/submit.js';
import { WATCH } from './scripts/watch.js';

/** Longer than anybody waits. */
const WATCH_MS = 120_000;

export function createJobScripts(run: RunScript, retentionMs: number) {
  const scripts = {
    submit: createScript(SUBMIT, 'submit'),
    cancel: createScript(CANCEL, 'cancel'),
    watch: createScript(WATCH, 'watch'),
    locate: createScript(LOCATE, 'locate'),
  };

  async function submit(job: Submission): Promise<SubmitReply> {
    const { parts, parallel } = job.first ?? { parts: [WHOLE], parallel: 1 };
    const { status, rest } = parseReply(
      await run(scripts.submit, [
        job.jobId,
        job.tenantId,
        job.pools.join(','),
        job.priority,
        job.cpus,
        job.channel,
        job.language,
        job.image,
        job.metadata,
        job.spec,
        parallel,
        job.idempotency ?? '',
        job.callback?.url ?? '',
        job.callback?.secret ?? '',
        ...parts.map(formatPart),
      ]),
      ['ok', 'replay', 'full', 'no-image', 'other-body', 'expired'],
    );
    if (status === 'replay') return { status, jobId: rest[0] ?? '' };
    if (status !== 'ok') return { status };
    const [createdAt, ...admitted] = rest;
    return { status, createdAtMs: Number(createdAt), admitted: admitted.map(parseDelivery) };
  }

  async function cancel(jobId: string, tenantId: string): Promise<CancelReply> {
    const { status, rest } = parseReply(await run(scripts.cancel, [jobId, tenantId, retentionMs]), [
      'missing',
      'final',
      'cancelling',
      'cancelled',
    ]);
    return { status, admitted: rest.map(parseDelivery) };
  }

  /** Has the end of a job announced on one more channel. */
  async function watch(jobId: string, channel: string): Promise<void> {
    parseReply(await run(scripts.watch, [jobId, channel, WATCH_MS]), ['ok']);
  }

  /** Where a job runs, and with a channel: has its changes announced there for a while. */
  async function locate(
    jobId: string,
    tenantId: string,
    { channel = '', cpus }: { readonly channel?: string; readonly cpus?: number | undefined } = {},
  ): Promise<LocateReply> {
    const { status, rest } = parseReply(
      await run(scripts.locate, [jobId, tenantId, channel, WATCH_MS, cpus ?? '']),
      ['missing', 'final', 'queued', 'running'],
    );
    if (status === 'missing' || status === 'final') return { status };
    const [runs, ...holders] = rest;
    return {
      status,
      run: Number(runs),
      holders: holders.map((text) => {
        const [executorId = '', runToken = '', of] = text.split(' ');
        return { executorId, runToken, run: Number(of) };
      }),
    };
  }

  return { submit, cancel, watch, locate };
}
