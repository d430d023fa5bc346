/**
 * Archives are unpacked in the box that they are for, by a program of ours (native/src/extract_main.c) that is a step
 * like every other: the box's user, filter and limits, and nothing that it could reach besides. Nobody of this host
 * looks at a byte of them.
 */
import { constants as errnos } from 'node:os';
import { decodeContent } from '../../services/contract/encoding.js';
import { SandboxFault } from '../../services/contract/faults.js';
import { LIMITS, mapLimits, type Limits } from '../../services/contract/limits.js';
import type { ArchiveSpec } from '../../services/contract/archives.js';
import type { BlobCache, CachedBlob } from './blob-cache.js';
import { readOnlyMemory } from './native-memory.js';
import type { Box, Memory, Piece, Sandbox, Slice, StepEnd, StepSpec } from './sandbox.js';

/** Memory of the host's that no limit of the box counts. */
const ARCHIVES_BYTES_MAX = 256 * 1024 * 1024;
const WORDS_BYTES_MAX = 1_024;

export interface ArchivesDeps {
  readonly sandbox: Pick<Sandbox, 'gather'>;
  readonly blobs: Pick<BlobCache, 'open'>;
  readonly tenantId: string;
  /** The program mayfly-extract. */
  readonly extractor: Slice;
}

export interface Unpacking {
  readonly memory: Memory;
  readonly step: StepSpec;
}

/** The step that unpacks them. Its memory begins with the program itself: it needs no room on the box's disk. */
export async function openArchives(
  { sandbox, blobs, tenantId, extractor }: ArchivesDeps,
  archives: readonly ArchiveSpec[],
  stepLimits: readonly Readonly<Limits>[],
): Promise<Unpacking> {
  const opened: CachedBlob[] = [];
  try {
    const pieces: Piece[] = [extractor];
    const argv = ['/proc/self/fd/0', String(extractor.bytes)];
    let total = 0;
    for (const [index, archive] of archives.entries()) {
      const piece = await pieceOf(archive);
      const bytes = Buffer.isBuffer(piece) ? piece.length : piece.bytes;
      total += bytes;
      if (total > ARCHIVES_BYTES_MAX) {
        throw refused(`archives[${index}]: they are more than ${ARCHIVES_BYTES_MAX} bytes in all`);
      }
      pieces.push(piece);
      argv.push(archive.format, String(bytes), archive.path);
    }
    const memory = readOnlyMemory(await sandbox.gather(pieces));
    return { memory, step: unpackStep(argv, memory, stepLimits) };
  } finally {
    for (const blob of opened) await blob.close();
  }

  async function pieceOf(archive: ArchiveSpec): Promise<Piece> {
    if (archive.blob === undefined) return decodeContent(archive);
    const blob = await blobs.open({ tenantId, sha256: archive.blob });
    opened.push(blob);
    return { fd: blob.fd, at: 0, bytes: blob.bytes };
  }
}

function unpackStep(
  argv: readonly string[],
  stdin: Memory,
  stepLimits: readonly Readonly<Limits>[],
): StepSpec {
  const limits = mapLimits((name) => Math.max(...stepLimits.map((of) => of[name])));
  // What the client has set for its own program says nothing of ours; how much may be written, it does.
  for (const name of ['cpuTimeMs', 'wallTimeMs', 'outputBytes'] as const) {
    limits[name] = Math.max(limits[name], LIMITS[name].default);
  }
  return {
    argv,
    env: {},
    cwd: '/',
    stdin,
    limits,
    truncateOutput: true,
    mergeStderr: false,
  };
}

/** What is wrong with an archive is the job's own doing, and would be again: the job fails at once. */
export async function unpackArchives(box: Box, { step }: Unpacking): Promise<void> {
  let words = '';
  const end = await box.step(step, (stream, chunk) => {
    if (stream === 'stderr') words = (words + chunk.toString('latin1')).slice(0, WORDS_BYTES_MAX);
  });
  if (end.outcome === 'cancelled' || (end.outcome === 'exited' && end.exitCode === 0)) return;
  throw refused(words.trim() || `the archives cannot be unpacked: ${howItEnded(end)}`, end);
}

function howItEnded({ outcome, exitCode, signal }: StepEnd): string {
  if (outcome === 'exited') return `exit code ${exitCode}`;
  return outcome === 'signaled' ? `signal ${signal}` : outcome;
}

const EXIT_FULL = 3;

function refused(detail: string, end?: StepEnd): SandboxFault {
  const full = end?.outcome === 'disk_limit' || end?.exitCode === EXIT_FULL;
  const errno = full ? errnos.errno.ENOSPC : null;
  return new SandboxFault({ stage: 'archive', errno, detail, retryable: false });
}
