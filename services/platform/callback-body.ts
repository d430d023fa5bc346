/** What is posted: the job, as it is read, and smaller when that is large. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { decodeContent } from '../contract/encoding.js';
import type { CollectedFile, Job, StepResult, StreamContent } from '../contract/job.js';
import type { Blobs } from './blobs.js';
import type { JobReader } from './job-reader.js';

export const CALLBACK_BYTES_MAX = 256 * 1024;
/** Where the name of a blob would hardly be shorter. */
const INLINE_BYTES_MAX = 512;
const OMITTED_SHOWN = 16;

export interface CallbackBodyDeps {
  readonly reader: Pick<JobReader, 'read'>;
  readonly blobs: Pick<Blobs, 'keepResult'>;
}

type Encoding = StepResult['stdoutEncoding'];

export function createCallbackBody({ reader, blobs }: CallbackBodyDeps) {
  /** Null: the tenant has no room for it. */
  async function keep(tenantId: string, jobId: string, bytes: Uint8Array) {
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const kept = await blobs.keepResult({ tenantId, sha256 }, bytes.length, jobId, () =>
      Readable.from([bytes]),
    );
    return kept ? { blob: sha256, bytes: bytes.length } : null;
  }

  async function asBlobs(tenantId: string, job: Job): Promise<Job | null> {
    let fits = true as boolean;
    const move = async (content: string, encoding: Encoding) => {
      const bytes = decodeContent({ content, encoding });
      if (bytes.length <= INLINE_BYTES_MAX) return null;
      const stored = await keep(tenantId, job.id, bytes);
      if (stored === null) fits = false;
      return stored;
    };
    const stream = async (given: StreamContent | undefined, encoding: Encoding) =>
      typeof given === 'string' ? ((await move(given, encoding)) ?? given) : given;
    const step = async <T extends StepResult>(result: T): Promise<T> => ({
      ...result,
      stdout: await stream(result.stdout, result.stdoutEncoding),
      stderr: await stream(result.stderr, result.stderrEncoding),
    });
    const file = async (given: CollectedFile): Promise<CollectedFile> => {
      if ('blob' in given) return given;
      const stored = await move(given.content, given.encoding);
      return stored === null ? given : { path: given.path, ...stored };
    };
    const light: Job = {
      ...job,
      compile: job.compile && (await step(job.compile)),
      run: job.run && (await step(job.run)),
      steps: job.steps && (await Promise.all(job.steps.map(step))),
      files: await Promise.all((job.files ?? []).map(file)),
    };
    return fits ? light : null;
  }

  /** Null: the job is gone. */
  return async function bodyOf(tenantId: string, jobId: string): Promise<string | null> {
    const job = await reader.read(tenantId, jobId);
    if (job === null) return null;
    const whole = JSON.stringify(job);
    if (Buffer.byteLength(whole) <= CALLBACK_BYTES_MAX) return whole;
    const light = JSON.stringify(await asBlobs(tenantId, job));
    if (light !== 'null' && Buffer.byteLength(light) <= CALLBACK_BYTES_MAX) return light;
    // As with `include=`: the heavy parts are not there, and the job can be read.
    const bare = await reader.read(tenantId, jobId, []);
    if (bare === null) return null;
    return JSON.stringify({ ...bare, filesOmitted: bare.filesOmitted.slice(0, OMITTED_SHOWN) });
  };
}

export type CallbackBody = ReturnType<typeof createCallbackBody>;
