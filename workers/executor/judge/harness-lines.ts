/** What a harness writes, cut into lines, for one reader that takes them when it is ready for the next. */
import { GRADE_CAPS } from '../../../services/contract/grading.js';

/** A line without its end; or why there will be none any more. */
export type Line = Buffer | 'too long' | 'unfinished' | 'end';

export interface HarnessLines {
  add(chunk: Buffer): void;
  /** Nothing more will be written. */
  end(): void;
  next(): Promise<Line>;
}

const NEWLINE = 0x0a;

/** How much waits here is bounded by what the harness may write in all. */
export function createHarnessLines(bytesMax: number = GRADE_CAPS.lineBytes): HarnessLines {
  const lines: Buffer[] = [];
  let partial: Buffer[] = [];
  let partialBytes = 0;
  let last: Line | null = null;
  let wake: () => void = () => undefined;

  /** False: the line has become too long. */
  function extend(piece: Buffer): boolean {
    partial.push(piece);
    partialBytes += piece.length;
    return partialBytes <= bytesMax;
  }

  function cut(chunk: Buffer): void {
    for (let at = 0; at < chunk.length;) {
      const end = chunk.indexOf(NEWLINE, at);
      if (!extend(chunk.subarray(at, end < 0 ? chunk.length : end))) {
        last = 'too long';
        return;
      }
      if (end < 0) return;
      at = end + 1;
      lines.push(Buffer.concat(partial));
      partial = [];
      partialBytes = 0;
    }
  }

  return {
    add(chunk) {
      if (last === null) cut(chunk);
      wake();
    },
    end() {
      last ??= partialBytes > 0 ? 'unfinished' : 'end';
      wake();
    },
    async next() {
      for (;;) {
        const line = lines.shift() ?? last;
        if (line !== null) return line;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}
