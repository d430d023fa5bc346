/**
 * Blobs as files: `<directory>/<tenant>/<two digits>/<digest>`. A file is written under another name, flushed to
 * the disk, and renamed once it is verified: under its own name there is never anything but the whole.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import {
  checkName,
  verified,
  type BlobEntry,
  type BlobName,
  type BlobStore,
  type ByteRange,
} from './blob-store.js';
import { chunkPassed } from './young-memory.js';

const INCOMING = '.incoming';
/** What a process that died left behind. */
const STALE_MS = 3_600_000;
const READ_BYTES = 128 * 1024;

export function createFsBlobStore(directory: string): BlobStore {
  function pathOf(name: BlobName): string {
    checkName(name);
    return join(directory, name.tenantId, name.sha256.slice(0, 2), name.sha256);
  }

  async function put(
    name: BlobName,
    bytes: number,
    content: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const path = pathOf(name);
    const incoming = join(directory, INCOMING, randomUUID());
    await mkdir(dirname(incoming), { recursive: true, mode: 0o700 });
    const file = await open(incoming, 'wx', 0o400);
    try {
      try {
        for await (const chunk of verified(name.sha256, bytes, content)) {
          await writeWhole(file, chunk);
        }
        await file.sync();
      } finally {
        await file.close();
      }
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await rename(incoming, path);
      await syncDirectory(dirname(path));
    } catch (error) {
      await rm(incoming, { force: true });
      throw error;
    }
  }

  async function* list(): AsyncGenerator<BlobEntry, void, undefined> {
    await sweepIncoming(join(directory, INCOMING));
    for (const tenantId of await entriesOf(directory)) {
      if (tenantId === INCOMING) continue;
      for (const prefix of await entriesOf(join(directory, tenantId))) {
        for (const sha256 of await entriesOf(join(directory, tenantId, prefix))) {
          const about = await stat(join(directory, tenantId, prefix, sha256)).catch(ifMissing);
          if (about === null) continue;
          yield { tenantId, sha256, bytes: about.size, changedAtMs: about.mtimeMs };
        }
      }
    }
  }

  return {
    put,
    async head(name) {
      const about = await stat(pathOf(name)).catch(ifMissing);
      return about === null ? null : about.size;
    },
    async get(name, range) {
      const file = await open(pathOf(name), 'r').catch(ifMissing);
      if (file === null) return null;
      return Readable.from(pieces(file, range), { objectMode: false });
    },
    remove: (name) => rm(pathOf(name), { force: true }),
    list,
  };
}

async function writeWhole(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length;) {
    at += (await file.write(chunk, at, chunk.length - at)).bytesWritten;
  }
}

async function* pieces(file: FileHandle, range: ByteRange | undefined): AsyncGenerator<Uint8Array> {
  const end = range === undefined ? Number.POSITIVE_INFINITY : range.last + 1;
  try {
    for (let at = range?.first ?? 0; at < end;) {
      const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
      const { bytesRead } = await file.read(buffer, 0, Math.min(READ_BYTES, end - at), at);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
      chunkPassed(READ_BYTES);
      at += bytesRead;
    }
  } finally {
    await file.close();
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function entriesOf(directory: string): Promise<string[]> {
  return (await readdir(directory).catch(ifMissing)) ?? [];
}

async function sweepIncoming(directory: string): Promise<void> {
  for (const name of await entriesOf(directory)) {
    const about = await stat(join(directory, name)).catch(ifMissing);
    const stale = about !== null && Date.now() - about.mtimeMs > STALE_MS;
    if (stale) await rm(join(directory, name), { force: true });
  }
}

function ifMissing(error: unknown): null {
  const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined;
  if (code === 'ENOENT' || code === 'ENOTDIR') return null;
  throw error;
}
