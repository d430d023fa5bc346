/**
 * Contents outside of the heap: gathered from buffers and from files of this host by the kernel, sealed, and
 * given to boxes. A box holds memory, never a file of the host.
 */
import { closeSync, fstatSync, openSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { SandboxFault } from '../../services/contract/faults.js';
import { errnoText } from './errno.js';
import { archiveHeader } from './native-archives.js';
import type { NativeLibrary } from './native-binding.js';
import type { Memory, Packed, Piece, Slice, SourceFile } from './sandbox.js';

/** What is copied before other work of this process has its turn. */
const TURN_BYTES = 1024 * 1024;

export function ownMemory(fd: number, bytes: number): Memory {
  let open = true;
  return {
    fd,
    bytes,
    close() {
      if (open) closeSync(fd);
      open = false;
    },
  };
}

/** The same, of which nobody holds a descriptor that may write: only then does the kernel run a program in it. */
export function readOnlyMemory(memory: Memory): Memory {
  try {
    return ownMemory(openSync(`/proc/self/fd/${memory.fd}`, 'r'), memory.bytes);
  } finally {
    memory.close();
  }
}

/** A program of ours that goes into boxes; stays open. */
export function openProgram(path: string): Slice {
  const fd = openSync(path, 'r');
  return { fd, at: 0, bytes: fstatSync(fd).size };
}

export async function gatherMemory(
  library: NativeLibrary,
  pieces: readonly Piece[],
): Promise<Memory> {
  const fd = checked(library.memory());
  try {
    let bytes = 0;
    for (const piece of pieces) {
      if (Buffer.isBuffer(piece)) await append(library, fd, piece);
      else await copy(library, fd, piece);
      bytes += Buffer.isBuffer(piece) ? piece.length : piece.bytes;
    }
    checked(library.memorySeal(fd));
    return ownMemory(fd, bytes);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

export async function packFiles(
  library: NativeLibrary,
  files: readonly SourceFile[],
): Promise<Packed> {
  const pieces = files.flatMap((file) => [archiveHeader(file), file.content]);
  return { files: files.length, memory: await gatherMemory(library, pieces) };
}

async function append(library: NativeLibrary, fd: number, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; at += TURN_BYTES) {
    if (at > 0) await nextTurn();
    checked(library.memoryAppend(fd, bytes.subarray(at, at + TURN_BYTES)));
  }
}

async function copy(
  library: NativeLibrary,
  fd: number,
  { fd: source, at, bytes }: Exclude<Piece, Buffer>,
): Promise<void> {
  for (let done = 0; done < bytes;) {
    const copied = checked(
      library.memoryCopy(fd, source, at + done, Math.min(bytes - done, TURN_BYTES)),
    );
    if (copied === 0) {
      const detail = `a file ended after ${done} of ${bytes} bytes`;
      throw new SandboxFault({ stage: 'files', detail });
    }
    done += copied;
    await nextTurn();
  }
}

function checked(result: number): number {
  if (result >= 0) return result;
  const detail = `memory for files: ${errnoText(-result)}`;
  throw new SandboxFault({ stage: 'files', errno: -result, detail });
}
