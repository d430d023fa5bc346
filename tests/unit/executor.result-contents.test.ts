import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { INLINE_BYTES_MAX } from '../../services/contract/blobs.js';
import type { OpenContent } from '../../services/platform/blobs.js';
import { createResultContents } from '../../workers/executor/result-contents.js';
import { createOutput, stepResult } from '../../workers/executor/step-result.js';
import type { StepEnd } from '../../workers/executor/sandbox.js';

const END = { outcome: 'exited', signal: null, stdoutTruncated: false } as unknown as StepEnd;

function contentsThat(kept: boolean) {
  const stored: Buffer[] = [];
  const keepResult = async (_name: object, _bytes: number, _job: string, open: OpenContent) => {
    const chunks: Buffer[] = [];
    for await (const chunk of open()) chunks.push(Buffer.from(chunk));
    if (kept) stored.push(Buffer.concat(chunks));
    return kept;
  };
  const deps = { blobs: { keepResult }, tenantId: 'a', jobId: 'job' };
  return { contents: createResultContents(deps), stored };
}

describe('what a task leaves', () => {
  it('is in the result when it is small, and a blob when it is not', async () => {
    const { contents, stored } = contentsThat(true);
    expect(await contents.keep([Buffer.alloc(INLINE_BYTES_MAX)])).toBeNull();
    const chunks = [Buffer.alloc(INLINE_BYTES_MAX, 'a'), Buffer.from('b')];
    const blob = createHash('sha256').update(Buffer.concat(chunks)).digest('hex');
    expect(await contents.keep(chunks)).toEqual({ blob, bytes: INLINE_BYTES_MAX + 1 });
    expect(stored.map((each) => each.length)).toEqual([INLINE_BYTES_MAX + 1]);
  });

  it('is cut, and said to be, when the tenant has no room for it', async () => {
    const output = createOutput();
    output.add('stdout', Buffer.alloc(100_000, 'a'));
    output.add('stderr', Buffer.from('short'));
    const { stdout, stdoutTruncated, stderr } = await stepResult(
      END,
      output,
      contentsThat(false).contents,
    );
    expect(stdout).toBe('a'.repeat(INLINE_BYTES_MAX));
    expect(stdoutTruncated).toBe(true);
    expect(stderr).toBe('short');
  });
});
