/** The output of a job's steps out of its result, in pieces. */
import { decodeContent } from '../contract/encoding.js';
import type { Job, StepResult } from '../contract/job.js';
import type { Blobs } from './blobs.js';
import type { StreamName } from './live-listener.js';

const PIECE_BYTES = 16 * 1024;

/** In the order in which they ran, as the executor counts them. */
export function stepsOf(job: Job): (StepResult & { readonly name: string })[] {
  const named = job.steps ?? [
    job.compile && { name: 'compile', ...job.compile },
    job.run && { name: 'run', ...job.run },
  ];
  return named.filter((step) => step !== null);
}

/** What a step has left behind `from`. */
export async function* storedOutput(
  blobs: Pick<Blobs, 'read'>,
  tenantId: string,
  step: StepResult,
  stream: StreamName,
  from: number,
): AsyncGenerator<Buffer> {
  const content = step[stream] ?? '';
  if (typeof content === 'string') {
    const bytes = decodeContent({ content, encoding: step[`${stream}Encoding`] });
    yield* piecesOf(bytes.subarray(from));
    return;
  }
  if (from >= content.bytes) return;
  const range = { first: from, last: content.bytes - 1 };
  for await (const chunk of (await blobs.read({ tenantId, sha256: content.blob }, range)) ?? []) {
    yield* piecesOf(chunk as Buffer);
  }
}

function* piecesOf(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES);
}
