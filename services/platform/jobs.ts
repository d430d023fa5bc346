/** Jobs as the API needs them: submit, wait, read, cancel. Knows tenants, but no HTTP. */
import type { Redis } from 'ioredis';
import { newJobId } from '../contract/ids.js';
import { isFinal, type HeavyPart, type Job } from '../contract/job.js';
import type { AcceptedJob, JobSpec, NamedBlob } from '../contract/job-spec.js';
import type { Limits } from '../contract/limits.js';
import type { BlobBook } from './blob-book.js';
import { Refusal, refusalOf } from './errors.js';
import { createCallbackAddresses, type CallbackAddresses } from './callback-address.js';
import { createJobReader, type JobReader } from './job-reader.js';
import { CALLBACK_NOT_DUE, renderJob } from './job-record.js';
import { createKeys, DEFAULT_CELL, DEFAULT_POOL, type Cell } from './keys.js';
import type { Logger } from './logger.js';
import type { MemoryGuard } from './memory-guard.js';
import type { Scheduler } from './scheduler.js';
import type { Submission } from './script-replies.js';
import { encodeSpec } from './stored-spec.js';
import { NO_TELEMETRY, type Telemetry } from './telemetry.js';
import { NO_TRACE, traceField, type Trace } from './tracing.js';
import { createWaiters, type Waiters } from './waiters.js';

export interface JobsOptions {
  /** The fail-fast one. */
  readonly redis: Redis;
  readonly subscriber: Redis;
  readonly scheduler: Scheduler;
  readonly memoryGuard: Pick<MemoryGuard, 'isFull'>;
  readonly replicaId: string;
  readonly blobBook: Pick<BlobBook, 'refer'>;
  readonly logger: Logger;
  readonly cell?: Cell;
  readonly recheckMs?: number;
  readonly telemetry?: Telemetry;
  /** Where callbacks may go; only to public addresses by default. */
  readonly callbackAddresses?: CallbackAddresses;
}

/** Digests of what a client calls its submission, and of what it submitted. */
export interface Idempotency {
  readonly keyDigest: string;
  readonly bodyDigest: string;
}

export interface SubmitOptions {
  readonly waitMs: number;
  readonly idempotency?: Idempotency | null;
  readonly trace?: Trace;
}

export interface Submitted {
  readonly job: Job;
  /** The job was there already, under the same idempotency key. */
  readonly replayed: boolean;
}

export interface ReadOptions {
  readonly waitMs: number;
  /** The heavy parts wanted; all of them by default. */
  readonly include?: readonly HeavyPart[] | undefined;
}

export interface Jobs {
  /** Accepts a job, and waits for its end at most `waitMs`. */
  submit(tenantId: string, job: AcceptedJob, waitMs: number, trace?: Trace): Promise<Job>;
  /** The same, but what came under this idempotency key before is not made again. */
  submitOnce(tenantId: string, job: AcceptedJob, options: SubmitOptions): Promise<Submitted>;
  /** Null: there is no such job, or it is another tenant's. */
  get(tenantId: string, jobId: string, options: ReadOptions): Promise<Job | null>;
  /** Returns the job once it has ended, or as it is when `waitMs` is over. Throws a Refusal. */
  cancel(tenantId: string, jobId: string, waitMs: number): Promise<Job>;
  close(): void;
}

/** What the slot is charged by: boxes that run beside each other are charged each (ADR 0022). */
function cpusMax({ limits, compile, steps, graph, judge, grade }: JobSpec): number {
  const together = (boxes: readonly { readonly limits: Limits }[]): number =>
    boxes.reduce((sum, box) => sum + Math.max(1, box.limits.cpus), 0);
  if (graph !== null) return together(graph.processes);
  const alone = [{ limits }, ...(compile === null ? [] : [compile]), ...(steps ?? [])];
  const tests = judge?.tests ?? [];
  const interactor = judge?.interactor?.program;
  const harness = grade === null ? 0 : together([{ limits }, grade]);
  return Math.max(
    harness,
    ...alone.map((box) => box.limits.cpus),
    ...tests.map((test) => (interactor ? together([test, interactor]) : test.limits.cpus)),
  );
}

/** The blobs that the job names are kept from now on; each one that is not there is told by its field. */
async function referTo(
  blobBook: Pick<BlobBook, 'refer'>,
  tenantId: string,
  jobId: string,
  named: readonly NamedBlob[],
): Promise<void> {
  if (named.length === 0) return;
  const digests = [...new Set(named.map(({ sha256 }) => sha256))];
  const missing = new Set(await blobBook.refer(tenantId, `in ${jobId}`, digests));
  const issues = named
    .filter(({ sha256 }) => missing.has(sha256))
    .map(({ path }) => ({ path, message: 'names a blob that is not there; upload it first' }));
  if (issues.length === 0) return;
  throw new Refusal('invalid_request', 'There is no such blob.', { issues });
}

/** A judge job begins with compiling; what comes next is found out there. */
function firstParts({ judge }: JobSpec): Pick<Submission, 'first'> {
  if (judge === null) return {};
  return { first: { parts: [{ kind: 'compile' }], parallel: judge.parallel } };
}

/** What can be known now is said now, and not by a callback that never comes. */
function refuseCallback(addresses: CallbackAddresses, callback: AcceptedJob['callback']): void {
  const message = callback === null ? null : addresses.issueOf(callback.url);
  if (message === null) return;
  const issues = [{ path: 'callback.url', message }];
  throw new Refusal('invalid_request', `callback.url ${message}`, { issues });
}

interface Parts {
  readonly callbackAddresses: CallbackAddresses;
  readonly blobBook: Pick<BlobBook, 'refer'>;
  readonly telemetry: Telemetry;
  readonly scheduler: Scheduler;
  readonly memoryGuard: Pick<MemoryGuard, 'isFull'>;
  readonly logger: Logger;
  readonly channel: string;
  readonly reader: JobReader;
  readonly waiters: Waiters;
}

function refusalOfSubmit(status: 'full' | 'no-image' | 'other-body' | 'expired'): Refusal {
  switch (status) {
    case 'no-image': {
      const message = 'is not served by any pool of executors that you may use';
      const issues = [{ path: 'image', message }];
      return new Refusal('invalid_request', `image ${message}`, { issues });
    }
    case 'full':
      return new Refusal('queue_full', 'Too many jobs are waiting.');
    case 'other-body':
      return new Refusal('idempotency_conflict', 'The key came with another body before.');
    case 'expired':
      return new Refusal('gone', 'The job of this idempotency key has expired.');
  }
}

async function submitOnce(
  parts: Parts,
  tenantId: string,
  job: AcceptedJob,
  { waitMs, idempotency = null, trace = NO_TRACE }: SubmitOptions,
): Promise<Submitted> {
  const { scheduler, waiters, reader, logger } = parts;
  if (parts.memoryGuard.isFull()) throw new Refusal('capacity', 'The job store is nearly full.');
  const { spec, metadata } = job;
  refuseCallback(parts.callbackAddresses, job.callback);
  const jobId = newJobId();
  trace.set({ 'mayfly.job': jobId });
  await referTo(parts.blobBook, tenantId, jobId, job.blobs);
  const waiter = waitMs > 0 ? waiters.register(jobId) : null;
  try {
    const reply = await scheduler.submit({
      jobId,
      tenantId,
      pools: [DEFAULT_POOL],
      priority: job.priority,
      cpus: cpusMax(spec),
      channel: parts.channel,
      language: spec.language ?? '',
      image: spec.image,
      metadata: JSON.stringify(metadata),
      callback: job.callback,
      spec: encodeSpec(spec, { traceparent: trace.traceparent }),
      ...firstParts(spec),
      ...(idempotency === null
        ? {}
        : { idempotency: `${idempotency.keyDigest} ${idempotency.bodyDigest}` }),
    });
    if (reply.status === 'replay') {
      const earlier = await get(parts, tenantId, reply.jobId, { waitMs });
      if (earlier === null) throw refusalOfSubmit('expired');
      return { job: earlier, replayed: true };
    }
    if (reply.status !== 'ok') throw refusalOfSubmit(reply.status);
    trace.stage('accept', trace.startMs, reply.createdAtMs);
    logger.info({ jobId, tenantId, ...traceField(trace) }, 'job accepted');
    if (waiter === null) {
      const { language, image } = spec;
      const { createdAtMs: createdAt } = reply;
      const record = { tenant: tenantId, status: 'queued', language, image, metadata } as const;
      const callback = job.callback === null ? null : CALLBACK_NOT_DUE;
      const queued = renderJob(jobId, { ...record, createdAt, runs: 0 }, null, true, callback);
      return { job: queued, replayed: false };
    }
    const told = await waiter.ended(waitMs);
    const ended = await (told === null
      ? reader.read(tenantId, jobId)
      : reader.readTold(tenantId, jobId, told));
    if (ended === null) throw new Refusal('not_found', 'The job has expired.');
    if (ended.finishedAt !== null) trace.last('reply', Date.parse(ended.finishedAt));
    return { job: ended, replayed: false };
  } finally {
    waiter?.release();
  }
}

async function get(parts: Parts, tenantId: string, jobId: string, options: ReadOptions) {
  const { scheduler, channel, reader, waiters } = parts;
  const { waitMs, include } = options;
  if (waitMs <= 0) return await reader.read(tenantId, jobId, include);
  const waiter = waiters.register(jobId);
  try {
    await scheduler.watch(jobId, channel);
    const job = await reader.read(tenantId, jobId, include);
    if (job === null || isFinal(job.status)) return job;
    await waiter.ended(waitMs);
    return await reader.read(tenantId, jobId, include);
  } finally {
    waiter.release();
  }
}

async function cancel(parts: Parts, tenantId: string, jobId: string, waitMs: number) {
  const reply = await parts.scheduler.cancel(jobId, tenantId);
  if (reply.status === 'missing') throw new Refusal('not_found', 'No such job.');
  if (reply.status === 'final') throw new Refusal('conflict', 'The job has ended already.');
  parts.logger.info({ jobId, tenantId, status: reply.status }, 'job cancelled');
  const wait = { waitMs: reply.status === 'cancelled' ? 0 : waitMs };
  const job = await get(parts, tenantId, jobId, wait);
  if (job === null) throw new Refusal('not_found', 'The job has expired.');
  return job;
}

/** Refusals of new work are what says that there are too few slots, or too small a Redis. */
async function counted<T>({ metrics }: Telemetry, submission: Promise<T>): Promise<T> {
  try {
    const accepted = await refusing(submission);
    metrics.count('mayfly_submissions_total', { result: 'accepted' });
    return accepted;
  } catch (error) {
    const result = error instanceof Refusal ? error.code : 'internal';
    metrics.count('mayfly_submissions_total', { result });
    throw error;
  }
}

/** Every failed command becomes the refusal that it means. */
async function refusing<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw refusalOf(error);
  }
}

export function createJobs(options: JobsOptions): Jobs {
  const { redis, subscriber, logger, replicaId, cell = DEFAULT_CELL } = options;
  const { telemetry = NO_TELEMETRY } = options;
  const channel = createKeys(cell).replies(replicaId);
  const reader = createJobReader(redis, cell);
  const { recheckMs } = options;
  const waiters = createWaiters({
    subscriber,
    channel,
    readEnded: reader.readEnded,
    logger,
    ...(recheckMs === undefined ? {} : { recheckMs }),
  });

  const { callbackAddresses = createCallbackAddresses() } = options;
  const given = { ...options, telemetry, callbackAddresses };
  const parts: Parts = { ...given, channel, reader, waiters };
  return {
    async submit(tenantId, accepted, waitMs, trace = NO_TRACE) {
      const once = submitOnce(parts, tenantId, accepted, { waitMs, trace });
      const { job } = await counted(telemetry, once);
      return job;
    },
    submitOnce: (tenantId, job, once) => counted(telemetry, submitOnce(parts, tenantId, job, once)),
    get: (tenantId, jobId, read) => refusing(get(parts, tenantId, jobId, read)),
    cancel: (tenantId, jobId, waitMs) => refusing(cancel(parts, tenantId, jobId, waitMs)),
    close: () => waiters.close(),
  };
}
