/** The first bytes of each stream; how many there were is not asked. */
import { INLINE_BYTES_MAX } from '../../../services/contract/blobs.js';
import type { ResultContents } from '../result-contents.js';
import type { Output } from '../step-result.js';
import type { StreamName } from '../sandbox.js';

export function createCappedOutput(
  bytesMax: number,
): Output & { cut(stream: StreamName): boolean } {
  const kept: Record<StreamName, { chunks: Buffer[]; bytes: number; cut: boolean }> = {
    stdout: { chunks: [], bytes: 0, cut: false },
    stderr: { chunks: [], bytes: 0, cut: false },
  };
  return {
    add(stream, chunk) {
      const of = kept[stream];
      const part = chunk.subarray(0, bytesMax - of.bytes);
      of.cut ||= part.length < chunk.length;
      if (part.length > 0) of.chunks.push(part);
      of.bytes += part.length;
    },
    bytesOf: (stream) => Buffer.concat(kept[stream].chunks),
    chunksOf: (stream) => kept[stream].chunks,
    cut: (stream) => kept[stream].cut,
  };
}

/** What is reported of a judge job is never more than fits into its record. */
export const INLINE_ONLY: Pick<ResultContents, 'keep'> = {
  keep: (content) => {
    const bytes =
      'fd' in content ? content.bytes : content.reduce((sum, chunk) => sum + chunk.length, 0);
    return Promise.resolve(bytes > INLINE_BYTES_MAX ? 'no_room' : null);
  },
};
