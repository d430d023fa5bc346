/** What the sandbox measured, in the units and encodings of the API. */
import { INLINE_BYTES_MAX } from '../../services/contract/blobs.js';
import { encodeContent, type Encoding } from '../../services/contract/encoding.js';
import type { StepResult, StreamContent } from '../../services/contract/job.js';
import type { OutputView } from '../../services/platform/live-listener.js';
import { signalName } from './errno.js';
import type { ResultContents } from './result-contents.js';
import type { OnOutput, StepEnd, StreamName } from './sandbox.js';

/** A step result with its streams: what `include` leaves out is decided on the way to the client. */
export type FullStepResult = StepResult & { stdout: StreamContent; stderr: StreamContent };

/** Keeps the chunks of both streams. How many bytes there can be is limited by the sandbox. */
export interface Output {
  readonly add: OnOutput;
  bytesOf(stream: StreamName): Buffer;
  chunksOf(stream: StreamName): readonly Buffer[];
}

/** One that somebody may read while it grows. */
export interface FollowedOutput extends Output, OutputView {}

export function createOutput(onWritten: () => void = () => undefined): FollowedOutput {
  const chunks: Record<StreamName, Buffer[]> = { stdout: [], stderr: [] };
  const sizes: Record<StreamName, number> = { stdout: 0, stderr: 0 };
  return {
    add(stream, chunk) {
      chunks[stream].push(chunk);
      sizes[stream] += chunk.length;
      onWritten();
    },
    size: (stream) => sizes[stream],
    slice: (stream, from, max) => sliceOf(chunks[stream], sizes[stream], from, max),
    bytesOf: (stream) => Buffer.concat(chunks[stream]),
    chunksOf: (stream) => chunks[stream],
  };
}

/** From the end backwards: what is asked for is mostly what came last. */
function sliceOf(chunks: readonly Buffer[], size: number, from: number, max: number): Buffer {
  let index = chunks.length;
  let start = size;
  while (index > 0 && start > from) start -= chunks[(index -= 1)]?.length ?? 0;
  const taken: Buffer[] = [];
  for (let bytes = start - from; index < chunks.length && bytes < max; index += 1) {
    const chunk = chunks[index] ?? Buffer.alloc(0);
    taken.push(chunk);
    bytes += chunk.length;
  }
  return Buffer.concat(taken).subarray(Math.max(0, from - start), Math.max(0, from - start) + max);
}

const US_PER_MS = 1_000;

interface Stream {
  readonly content: StreamContent;
  /** Of one that lies elsewhere it says nothing. */
  readonly encoding: Encoding;
  /** The tenant had no room for all of it. */
  readonly cut: boolean;
}

async function streamOf(
  chunks: readonly Buffer[],
  contents: Pick<ResultContents, 'keep'>,
): Promise<Stream> {
  const kept = await contents.keep(chunks);
  if (kept !== null && kept !== 'no_room') return { content: kept, encoding: 'utf8', cut: false };
  const bytes = Buffer.concat(chunks);
  return { ...encodeContent(bytes.subarray(0, INLINE_BYTES_MAX)), cut: kept === 'no_room' };
}

export async function stepResult(
  end: StepEnd,
  output: Output,
  contents: Pick<ResultContents, 'keep'>,
): Promise<FullStepResult> {
  const stdout = await streamOf(output.chunksOf('stdout'), contents);
  const stderr = await streamOf(output.chunksOf('stderr'), contents);
  return {
    outcome: end.outcome,
    exitCode: end.exitCode,
    signal: end.signal === null ? null : signalName(end.signal),
    stdout: stdout.content,
    stdoutEncoding: stdout.encoding,
    stdoutTruncated: end.stdoutTruncated || stdout.cut,
    stderr: stderr.content,
    stderrEncoding: stderr.encoding,
    stderrTruncated: end.stderrTruncated || stderr.cut,
    usage: {
      cpuTimeMs: end.cpuTimeUs / US_PER_MS,
      cpuUserMs: end.cpuUserUs / US_PER_MS,
      cpuSystemMs: end.cpuSystemUs / US_PER_MS,
      wallTimeMs: end.wallTimeUs / US_PER_MS,
      memoryBytesPeak: end.memoryBytesPeak,
      processesPeak: end.processesPeak,
      oomKills: end.oomKills,
      diskBytes: end.diskBytes,
      ioReadBytes: end.ioReadBytes,
      ioWriteBytes: end.ioWriteBytes,
      contextSwitches: end.contextSwitches,
      majorPageFaults: end.majorPageFaults,
    },
  };
}
