/** The memory that holds collected files: where in it each of them lies. */
import { fstatSync, read, readSync } from 'node:fs';
import { promisify } from 'node:util';
import { SandboxFault } from '../../services/contract/faults.js';
import { decodeCollected } from './native-archives.js';
import { ownMemory } from './native-memory.js';
import type { Collected, Slice } from './sandbox.js';

/** Reads names and sizes only; from memory that never waits. The descriptor is ours from here on. */
export function readCollected(fd: number, bytes: number): Collected {
  const memory = ownMemory(fd, bytes);
  try {
    const { size } = fstatSync(fd);
    if (size < bytes) throw new Error(`${size} bytes instead of ${bytes}`);
    const readAt = (at: number, length: number): Buffer => {
      const buffer = Buffer.alloc(length);
      return buffer.subarray(0, readSync(fd, buffer, 0, length, at));
    };
    const { files, omitted } = decodeCollected(readAt, bytes);
    const slices = files.map((file) => ({
      path: file.path,
      content: { fd, at: file.at, bytes: file.bytes },
    }));
    return { files: slices, omitted, memory };
  } catch (cause) {
    memory.close();
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new SandboxFault({ stage: 'files', detail: `collected files: ${why}` }, { cause });
  }
}

const readAsync = promisify(read);
/** So little is copied in less time than it takes to ask another thread to do it. */
const AT_ONCE_BYTES = 65_536;

/** For a slice of memory that is small. */
export async function readSlice({ fd, at, bytes }: Slice): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(bytes);
  if (bytes <= AT_ONCE_BYTES && readSync(fd, buffer, 0, bytes, at) === bytes) return buffer;
  for (let done = 0; done < bytes;) {
    const { bytesRead } = await readAsync(fd, buffer, done, bytes - done, at + done);
    if (bytesRead === 0) throw new Error(`a file ended after ${done} of ${bytes} bytes`);
    done += bytesRead;
  }
  return buffer;
}
