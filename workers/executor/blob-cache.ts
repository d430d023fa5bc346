/**
 * Blobs on the disk of this executor, so that what many jobs need is fetched once. Bounded: what was not used for
 * longest goes. A file is verified as it comes in, and again when it is no longer the very file that was verified.
 *
 * By tenant, too: a blob that another tenant has must not come any faster.
 */
import { createHash, randomUUID } from 'node:crypto';
import { fstat as fstatCallback, type BigIntStats } from 'node:fs';
import { chmod, mkdir, open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SandboxFault } from '../../services/contract/faults.js';
import {
  checkName,
  verified,
  type BlobName,
  type BlobStore,
} from '../../services/platform/blob-store.js';

const fstat = promisify(fstatCallback);

export interface CachedBlob {
  readonly fd: number;
  readonly bytes: number;
  close(): Promise<void>;
}

export interface CacheCounts {
  hits: number;
  fetches: number;
  bytesFetched: number;
  corrupted: number;
  evicted: number;
}

export interface BlobCache {
  /** Open, verified; of any size up to the bound. Throws a SandboxFault. */
  open(name: BlobName): Promise<CachedBlob>;
  readonly counts: Readonly<CacheCounts>;
}

export interface BlobCacheOptions {
  readonly store: Pick<BlobStore, 'head' | 'get'>;
  readonly directory: string;
  readonly bytesMax: number;
}

interface Entry {
  readonly bytes: number;
  /** Which file was verified, and in what state; null when another process did that. */
  verified: string | null;
}

const READ_BYTES = 256 * 1024;
const INCOMING = 'incoming-';
/** What a process that died left behind. */
const STALE_MS = 3_600_000;

/** Which files there are, in the order of their last use. */
function createShelf(directory: string, bytesMax: number, onEvicted: () => void) {
  const entries = new Map<string, Entry>();
  let bytesUsed = 0;

  function add(key: string, entry: Entry): void {
    drop(key);
    entries.set(key, entry);
    bytesUsed += entry.bytes;
  }

  function drop(key: string): void {
    bytesUsed -= entries.get(key)?.bytes ?? 0;
    entries.delete(key);
  }

  async function remove(key: string): Promise<void> {
    drop(key);
    await rm(join(directory, key), { force: true });
  }

  /** Files that are open stay readable. */
  async function makeRoom(bytes: number): Promise<void> {
    for (const key of [...entries.keys()]) {
      if (bytesUsed + bytes <= bytesMax) return;
      onEvicted();
      await remove(key);
    }
  }

  /** What an executor before this one left, oldest first. */
  async function adopt(): Promise<void> {
    const found: { name: string; bytes: number; usedMs: number }[] = [];
    for (const name of await readdir(directory)) {
      const path = join(directory, name);
      const about = await stat(path).catch(() => null);
      if (about === null) continue;
      const stale = name.startsWith(INCOMING) && Date.now() - about.mtimeMs > STALE_MS;
      if (/^[A-Za-z0-9_-]+\.[0-9a-f]{64}$/.test(name)) {
        found.push({ name, bytes: about.size, usedMs: about.atimeMs });
      } else if (stale) {
        await rm(path, { force: true });
      }
    }
    for (const { name, bytes } of found.sort((a, b) => a.usedMs - b.usedMs)) {
      add(name, { bytes, verified: null });
    }
    await makeRoom(0);
  }

  return { add, remove, makeRoom, adopt, get: (key: string) => entries.get(key) };
}

/** Writes under another name, and gives it its own once it is verified. Returns its state. */
async function receive(
  directory: string,
  key: string,
  content: AsyncIterable<Uint8Array>,
): Promise<string> {
  const incoming = join(directory, `${INCOMING}${randomUUID()}`);
  const file = await open(incoming, 'wx', 0o400);
  try {
    for await (const chunk of content) {
      for (let at = 0; at < chunk.length;) {
        at += (await file.write(chunk, at, chunk.length - at)).bytesWritten;
      }
    }
    await rename(incoming, join(directory, key));
    return await stateOf(file);
  } catch (error) {
    await rm(incoming, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

export async function createBlobCache(options: BlobCacheOptions): Promise<BlobCache> {
  const { store, directory, bytesMax } = options;
  const counts: CacheCounts = { hits: 0, fetches: 0, bytesFetched: 0, corrupted: 0, evicted: 0 };
  const fetching = new Map<string, Promise<void>>();
  const shelf = createShelf(directory, bytesMax, () => (counts.evicted += 1));

  await mkdir(directory, { recursive: true, mode: 0o700 });
  await chmod(directory, 0o700);
  await shelf.adopt();

  async function fetch(key: string, name: BlobName): Promise<void> {
    const bytes = await store.head(name);
    if (bytes === null) throw refusal(name, 'is gone');
    if (bytes > bytesMax) throw refusal(name, "is larger than this executor's cache");
    const content = await store.get(name);
    if (content === null) throw refusal(name, 'is gone');
    await shelf.makeRoom(bytes);
    const state = await receive(directory, key, verified(name.sha256, bytes, content));
    shelf.add(key, { bytes, verified: state });
    counts.fetches += 1;
    counts.bytesFetched += bytes;
  }

  function fetchOnce(key: string, name: BlobName): Promise<void> {
    let pending = fetching.get(key);
    if (pending === undefined) {
      pending = fetch(key, name).finally(() => fetching.delete(key));
      fetching.set(key, pending);
    }
    return pending;
  }

  /** The file, if it is what it should be; one that is not is removed. */
  async function openSound(key: string, name: BlobName): Promise<FileHandle | null> {
    const entry = shelf.get(key);
    if (entry === undefined) return null;
    const file = await open(join(directory, key), 'r').catch(() => null);
    if (file !== null) {
      const state = await stateOf(file);
      if (state === entry.verified || (await isSound(file, name.sha256, entry.bytes))) {
        shelf.add(key, { bytes: entry.bytes, verified: state });
        return file;
      }
      await file.close();
    }
    counts.corrupted += 1;
    await shelf.remove(key);
    return null;
  }

  async function openBlob(name: BlobName): Promise<CachedBlob> {
    checkName(name);
    const key = `${name.tenantId}.${name.sha256}`;
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const file = await openSound(key, name);
      if (file === null) {
        await fetchOnce(key, name);
        continue;
      }
      if (attempt === 0) counts.hits += 1;
      const { size } = await file.stat();
      return { fd: file.fd, bytes: size, close: () => file.close() };
    }
    throw new SandboxFault({ stage: 'blobs', detail: 'the cache is too small for what runs' });
  }

  return {
    counts,
    async open(name) {
      try {
        return await openBlob(name);
      } catch (cause) {
        throw faultOf(name, cause);
      }
    },
  };
}

/** A store that cannot be reached may be back in the next run. */
function faultOf({ sha256 }: BlobName, cause: unknown): SandboxFault {
  if (cause instanceof SandboxFault) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new SandboxFault({ stage: 'blobs', detail: `${sha256}: ${why}` }, { cause });
}

/** It would be the same in every other run. */
function refusal({ sha256 }: BlobName, why: string): SandboxFault {
  return new SandboxFault({
    stage: 'blobs',
    detail: `the blob ${sha256} ${why}`,
    retryable: false,
  });
}

/** Changes with whatever is done to the file; nobody can set the time of its last change. */
async function stateOf(file: FileHandle): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs }: BigIntStats = await fstat(file.fd, { bigint: true });
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
}

async function isSound(file: FileHandle, sha256: string, bytes: number): Promise<boolean> {
  const hash = createHash('sha256');
  const buffer = Buffer.alloc(READ_BYTES);
  let at = 0;
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, READ_BYTES, at);
    if (bytesRead === 0) break;
    hash.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
  return at === bytes && hash.digest('hex') === sha256;
}
