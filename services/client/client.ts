/**
 * The calls of the native API, typed from the contract, on nothing but `fetch`. Each takes an AbortSignal;
 * each waits and repeats as the service asks (transport.ts).
 */
import type { HeavyPart, Job } from '../contract/job.js';
import type { JobRequestInput } from '../contract/job-request.js';
import { jobEvents, type JobEvent } from './events.js';
import { createTransport, type CallOptions, type ClientOptions, type Send } from './transport.js';

export type JobRequest = JobRequestInput;

export interface SubmitOptions extends CallOptions {
  /** At most 60; 0 by default: the job so far. */
  readonly waitSeconds?: number;
  /** One of its own by default, so that a repeated submission is one job. */
  readonly idempotencyKey?: string;
}

export interface ReadOptions extends CallOptions {
  readonly waitSeconds?: number;
  /** The heavy parts wanted; all of them by default. */
  readonly include?: readonly HeavyPart[];
}

export interface ListOptions extends CallOptions {
  readonly status?: Job['status'];
  readonly limit?: number;
  readonly cursor?: string;
}

export interface JobPage {
  readonly jobs: readonly Pick<Job, 'id' | 'status' | 'language' | 'createdAt'>[];
  readonly nextCursor: string | null;
}

export interface LanguageInfo {
  readonly name: string;
  readonly title: string;
  readonly image: string;
  /** Whether the image is built; jobs of the language are refused if not. */
  readonly available: boolean;
  readonly version: string | null;
  readonly sourceFile: string;
}

export interface Client {
  submit(job: JobRequest, options?: SubmitOptions): Promise<Job>;
  get(jobId: string, options?: ReadOptions): Promise<Job>;
  /** Until it has ended. */
  wait(jobId: string, options?: CallOptions): Promise<Job>;
  /** Submits and waits. */
  run(job: JobRequest, options?: SubmitOptions): Promise<Job>;
  cancel(jobId: string, options?: CallOptions): Promise<Job>;
  list(options?: ListOptions): Promise<JobPage>;
  events(jobId: string, options?: CallOptions): AsyncGenerator<JobEvent>;
  /** One collected file. */
  file(jobId: string, path: string, options?: CallOptions): Promise<Uint8Array<ArrayBuffer>>;
  /** Uploads a file once; the answer is its name wherever content is allowed: `{blob: sha256}`. */
  putBlob(content: Uint8Array<ArrayBuffer>, options?: CallOptions): Promise<string>;
  getBlob(sha256: string, options?: CallOptions): Promise<Uint8Array<ArrayBuffer>>;
  languages(options?: CallOptions): Promise<readonly LanguageInfo[]>;
  usage(options?: CallOptions): Promise<unknown>;
}

const WAIT_SECONDS = 30;
const JSON_HEADERS = { 'content-type': 'application/json' } as const;

function isFinal({ status }: Job): boolean {
  return status !== 'queued' && status !== 'running';
}

/** The contract says what an answer looks like; one that adds fields is no error. */
async function json<T>(response: Promise<Response>): Promise<T> {
  return (await (await response).json()) as T;
}

async function bytesOf(response: Promise<Response>): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await (await response).arrayBuffer());
}

async function sha256Of(content: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await globalThis.crypto.subtle.digest('SHA-256', content));
  return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

const jobPath = (id: string, rest = ''): string => `/v1/jobs/${encodeURIComponent(id)}${rest}`;

function jobCalls(send: Send) {
  async function submit(job: JobRequest, options: SubmitOptions = {}): Promise<Job> {
    const { waitSeconds: wait, idempotencyKey = globalThis.crypto.randomUUID(), signal } = options;
    const headers = { ...JSON_HEADERS, 'idempotency-key': idempotencyKey };
    const body = JSON.stringify(job);
    const request = { method: 'POST', path: '/v1/jobs', query: { wait }, headers, body };
    return await json(send({ ...request, repeatable: true, signal }));
  }

  async function get(jobId: string, options: ReadOptions = {}): Promise<Job> {
    const query = { wait: options.waitSeconds, include: options.include?.join(',') };
    const request = { method: 'GET', path: jobPath(jobId), query, repeatable: true };
    return await json(send({ ...request, signal: options.signal }));
  }

  async function wait(jobId: string, { signal }: CallOptions = {}): Promise<Job> {
    for (;;) {
      const job = await get(jobId, { waitSeconds: WAIT_SECONDS, signal });
      if (isFinal(job)) return job;
    }
  }

  async function run(job: JobRequest, options: SubmitOptions = {}): Promise<Job> {
    const submitted = await submit(job, { waitSeconds: WAIT_SECONDS, ...options });
    return isFinal(submitted) ? submitted : await wait(submitted.id, options);
  }

  async function cancel(jobId: string, { signal }: CallOptions = {}): Promise<Job> {
    const request = { method: 'DELETE', path: jobPath(jobId), repeatable: true, signal };
    return await json(send(request));
  }

  return { submit, get, wait, run, cancel };
}

export function createClient(options: ClientOptions): Client {
  const send = createTransport(options);
  const read = (path: string, { signal }: CallOptions, query = {}): Promise<Response> =>
    send({ method: 'GET', path, query, repeatable: true, signal });

  return {
    ...jobCalls(send),
    list: ({ status, limit, cursor, signal } = {}) =>
      json(read('/v1/jobs', { signal }, { status, limit, cursor })),
    events: (jobId, call = {}) => jobEvents(send, jobId, call),
    file: (jobId, path, call = {}) =>
      bytesOf(
        read(jobPath(jobId, `/files/${path.split('/').map(encodeURIComponent).join('/')}`), call),
      ),
    async putBlob(content, { signal } = {}) {
      const sha256 = await sha256Of(content);
      const headers = { 'content-type': 'application/octet-stream' };
      const request = { method: 'PUT', path: `/v1/blobs/${sha256}`, headers, body: content };
      await send({ ...request, repeatable: true, signal });
      return sha256;
    },
    getBlob: (sha256, call = {}) => bytesOf(read(`/v1/blobs/${sha256}`, call)),
    languages: async (call = {}) =>
      (await json<{ languages: LanguageInfo[] }>(read('/v1/languages', call))).languages,
    usage: (call = {}) => json(read('/v1/usage', call)),
  };
}
