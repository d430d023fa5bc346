/** Submits one job for a caller: what POST /v1/jobs and each entry of a batch have in common. */
import { createHash } from 'node:crypto';
import type { AcceptedJob } from '../contract/job-spec.js';
import { checkCpuQuota, type Caller } from '../platform/access.js';
import type { Idempotency, Jobs, Submitted } from '../platform/jobs.js';
import type { Trace } from '../platform/tracing.js';
import { refuseMissingImage, type ImageStore } from './image-store.js';

export interface SubmitJobDeps {
  readonly jobs: Jobs;
  readonly images: ImageStore;
}

export interface SubmitJobOptions {
  readonly waitMs: number;
  readonly idempotency: Idempotency | null;
  readonly trace: Trace;
}

export type SubmitJob = (
  caller: Caller,
  job: AcceptedJob,
  options: SubmitJobOptions,
) => Promise<Submitted>;

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** The key, and what the client sent under it, before any default of ours. */
export function idempotencyOf(key: string | undefined, body: unknown): Idempotency | null {
  if (key === undefined) return null;
  return { keyDigest: sha256(key), bodyDigest: sha256(JSON.stringify(body)) };
}

export function createSubmitJob({ jobs, images }: SubmitJobDeps): SubmitJob {
  return async function submitJob(caller, job, options) {
    checkCpuQuota(caller);
    await refuseMissingImage(images, job.spec);
    return await jobs.submitOnce(caller.tenantId, job, options);
  };
}
