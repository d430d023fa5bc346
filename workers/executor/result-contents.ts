/** What a task leaves: small contents in the result itself, large ones as blobs of the job's tenant. */
import { createHash } from 'node:crypto';
import { read } from 'node:fs';
import { promisify } from 'node:util';
import { INLINE_BYTES_MAX, type StoredContent } from '../../services/contract/blobs.js';
import type { Blobs } from '../../services/platform/blobs.js';
import type { Slice } from './sandbox.js';

const READ_BYTES = 256 * 1024;
const readAsync = promisify(read);

export interface ResultContents {
  /** Null: small enough to be in the result. 'no_room': the tenant has none for it. */
  keep(content: readonly Buffer[] | Slice): Promise<StoredContent | 'no_room' | null>;
}

export interface ResultContentsDeps {
  readonly blobs: Pick<Blobs, 'keepResult'>;
  readonly tenantId: string;
  readonly jobId: string;
}

export function createResultContents(deps: ResultContentsDeps): ResultContents {
  const { blobs, tenantId, jobId } = deps;
  return {
    async keep(content) {
      const bytes =
        'fd' in content ? content.bytes : content.reduce((sum, chunk) => sum + chunk.length, 0);
      if (bytes <= INLINE_BYTES_MAX) return null;
      const open = (): AsyncIterable<Uint8Array> =>
        'fd' in content ? piecesOf(content) : chunksOf(content);
      // Read twice, so that what the tenant has already is not sent again.
      const hash = createHash('sha256');
      for await (const chunk of open()) hash.update(chunk);
      const sha256 = hash.digest('hex');
      const kept = await blobs.keepResult({ tenantId, sha256 }, bytes, jobId, open);
      return kept ? { blob: sha256, bytes } : 'no_room';
    },
  };
}

/** Through one buffer: a store is done with a chunk before it asks for the next. */
async function* piecesOf({ fd, at, bytes }: Slice): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.alloc(Math.min(READ_BYTES, bytes));
  for (let done = 0; done < bytes;) {
    const wanted = Math.min(buffer.length, bytes - done);
    const { bytesRead } = await readAsync(fd, buffer, 0, wanted, at + done);
    if (bytesRead === 0) throw new Error(`a file ended after ${done} of ${bytes} bytes`);
    yield buffer.subarray(0, bytesRead);
    done += bytesRead;
  }
}

async function* chunksOf(chunks: readonly Buffer[]): AsyncGenerator<Uint8Array> {
  await Promise.resolve();
  yield* chunks;
}
