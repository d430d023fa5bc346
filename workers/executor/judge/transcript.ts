/** What two sides say to each other, in the order in which they do; no more than is wanted of it. */
import { encodeContent } from '../../../services/contract/encoding.js';
import type { Transcript } from '../../../services/contract/job.js';

type By = Transcript['said'][number]['by'];

/** For a record: a ping-pong of single bytes is not worth more. */
const TURNS_MAX = 1_000;

export function createTranscript(bytesMax: number) {
  const turns: { by: By; chunks: Buffer[] }[] = [];
  let bytes = 0;
  let truncated = false;
  return {
    add(by: By, chunk: Buffer): void {
      const last = turns.at(-1);
      const part = chunk.subarray(0, bytesMax - bytes);
      const isNew = last?.by !== by;
      if (truncated || part.length === 0 || (isNew && turns.length === TURNS_MAX)) {
        truncated = true;
        return;
      }
      truncated = part.length < chunk.length;
      bytes += part.length;
      if (isNew) turns.push({ by, chunks: [part] });
      else last.chunks.push(part);
    },
    read: (): Transcript => ({
      said: turns.map(({ by, chunks }) => ({ by, ...encodeContent(Buffer.concat(chunks)) })),
      truncated,
    }),
  };
}
