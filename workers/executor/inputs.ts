/** What a task's boxes are given: contents of the job itself, and blobs, which do not pass through the heap. */
import { constants } from 'node:os';
import { SandboxFault } from '../../services/contract/faults.js';
import { errnoText } from './errno.js';
import { openArchives, type ArchivesDeps, type Unpacking } from './archives.js';
import type { CachedBlob } from './blob-cache.js';
import type { Plan, PlannedFile, PlannedStep } from './plan-task.js';
import type { BoxFile, Memory, Packed, Sandbox, SourceFile, StepSpec } from './sandbox.js';

/** Input is memory of the host's that no limit of the box counts. */
const STDIN_BYTES_MAX = 256 * 1024 * 1024;

export interface Inputs {
  readonly archives: Unpacking | null;
  readonly files: readonly BoxFile[] | Packed;
  /** The step with its input, which holds until `close`. */
  stepSpec(step: PlannedStep): Promise<StepSpec>;
  close(): void;
}

export interface InputsDeps extends ArchivesDeps {
  readonly sandbox: Pick<Sandbox, 'gather' | 'pack'>;
}

export async function openInputs(deps: InputsDeps, plan: Plan): Promise<Inputs> {
  const { sandbox, blobs, tenantId } = deps;
  const held: Memory[] = [];
  const files = plan.files.some(({ blob }) => blob !== undefined)
    ? await packFiles(deps, plan)
    : plan.files;
  if ('memory' in files) held.push(files.memory);
  const archives = await archivesOf(deps, plan).catch((error: unknown) => {
    for (const memory of held) memory.close();
    throw error;
  });
  if (archives !== null) held.push(archives.memory);
  return {
    archives,
    files,
    async stepSpec({ spec, stdinBlob }) {
      if (stdinBlob === null) return spec;
      const blob = await blobs.open({ tenantId, sha256: stdinBlob });
      try {
        if (blob.bytes > STDIN_BYTES_MAX) throw tooLarge('stdin', STDIN_BYTES_MAX);
        const memory = await sandbox.gather([{ fd: blob.fd, at: 0, bytes: blob.bytes }]);
        held.push(memory);
        return { ...spec, stdin: memory };
      } finally {
        await blob.close();
      }
    },
    close() {
      for (const memory of held) memory.close();
    },
  };
}

async function archivesOf(deps: InputsDeps, plan: Plan): Promise<Unpacking | null> {
  if (plan.archives.length === 0) return null;
  const limits = plan.steps.map(({ spec }) => spec.limits);
  return await openArchives(deps, plan.archives, limits);
}

async function packFiles(deps: InputsDeps, { files, box }: Plan): Promise<Packed> {
  const opened = new Map<string, CachedBlob>();
  try {
    for (const { blob } of files) {
      if (blob === undefined || opened.has(blob)) continue;
      opened.set(blob, await deps.blobs.open({ tenantId: deps.tenantId, sha256: blob }));
    }
    const sources = files.map((file) => sourceOf(file, opened));
    // They would not fit into the box, and until that is found out they are memory of the host's.
    let bytes = 0;
    for (const { path, content } of sources) {
      bytes += Buffer.isBuffer(content) ? content.length : content.bytes;
      if (bytes > box.diskBytes) throw tooLarge(path, box.diskBytes);
    }
    return await deps.sandbox.pack(sources);
  } finally {
    for (const blob of opened.values()) await blob.close();
  }
}

function sourceOf(file: PlannedFile, opened: ReadonlyMap<string, CachedBlob>): SourceFile {
  const blob = file.blob === undefined ? undefined : opened.get(file.blob);
  if (blob === undefined) return file;
  const { path, mode } = file;
  return { path, mode, content: { fd: blob.fd, at: 0, bytes: blob.bytes } };
}

function tooLarge(path: string, bytes: number): SandboxFault {
  const { ENOSPC } = constants.errno;
  return new SandboxFault({
    stage: 'files',
    errno: ENOSPC,
    detail: `${path} cannot be written: ${errnoText(ENOSPC)} (more than ${bytes} bytes)`,
    retryable: false,
  });
}
