/** A job of a language from request to result, without the queue: parsed, planned and run in a real box. */
import { parseJobRequest } from '../../services/contract/job-spec.js';
import type { LimitsRequest } from '../../services/contract/limits.js';
import { WHOLE, type TaskWork } from '../../services/contract/task.js';
import { createImageVersions, readImages } from '../../workers/executor/images.js';
import { openProgram } from '../../workers/executor/native-memory.js';
import { nativeProducts } from '../../workers/executor/native-products.js';
import { createRunTask, type RunTaskDeps } from '../../workers/executor/run-task.js';
import type { Sandbox } from '../../workers/executor/sandbox.js';
import { STATE_DIR } from './boxes.js';

export interface LanguageJob {
  readonly language: string;
  readonly source: string;
  readonly stdin?: string;
  readonly args?: readonly string[];
  readonly limits?: LimitsRequest;
  readonly compile?: { readonly args?: readonly string[]; readonly limits?: LimitsRequest };
  readonly files?: readonly { path: string; content: string }[];
  readonly collect?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A job that names an image and its commands. */
export interface StepsJob {
  readonly image: string;
  readonly steps: readonly { name: string; argv: readonly string[]; limits?: LimitsRequest }[];
  readonly limits?: LimitsRequest;
  readonly files?: readonly { path: string; content: string }[];
  readonly archives?: readonly { format: 'zip' | 'tar.gz'; content: string; path?: string }[];
}

/** A result whose small streams and large files are both here. */
export interface JobEnd {
  readonly work: TaskWork;
  readonly stdout: string;
  readonly files: readonly { readonly path: string; readonly content: Buffer }[];
}

export async function runJob(sandbox: Sandbox, job: LanguageJob | StepsJob): Promise<JobEnd> {
  const parsed = parseJobRequest(job);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
  const imageVersion = createImageVersions(readImages(STATE_DIR));
  const task = { taskId: 't', jobId: 'j', tenantId: 'default', run: 1, runToken: 'r', part: WHOLE };
  const kept = new Map<string, Buffer>();
  const blobs: RunTaskDeps['blobs'] = {
    cache: { open: () => Promise.reject(new Error('no blob goes in')) },
    results: {
      async keepResult({ sha256 }, _bytes, _jobId, content) {
        const chunks: Buffer[] = [];
        for await (const chunk of content()) chunks.push(Buffer.from(chunk));
        kept.set(sha256, Buffer.concat(chunks));
        return true;
      },
    },
  };
  const run = createRunTask({
    sandbox,
    imageVersion,
    blobs,
    extractor: openProgram(nativeProducts(null).extractPath),
  });
  const result = await run({ ...task, spec: parsed.job.spec }, new AbortController().signal);
  if (result.status !== 'finished') throw new Error(JSON.stringify(result));
  const { work } = result;
  const last = work.run ?? work.steps?.at(-1);
  return {
    work,
    stdout: typeof last?.stdout === 'string' ? last.stdout : '',
    files: work.files.map((file) => ({
      path: file.path,
      content:
        'blob' in file
          ? (kept.get(file.blob) ?? Buffer.alloc(0))
          : Buffer.from(file.content, file.encoding),
    })),
  };
}
