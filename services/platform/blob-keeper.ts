/**
 * Removes the blobs that are over: struck out of the books because nobody used them for long and no job refers
 * to them, or, less often looked for, never in the books at all, since whoever stored them died. Every API process
 * has a keeper; one is elected.
 */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { BlobBook } from './blob-book.js';
import type { BlobStore } from './blob-store.js';
import { createKeys, type Cell } from './keys.js';
import type { Logger } from './logger.js';
import { tick } from './ticks.js';

const LOOK_EVERY_MS = 30_000;
const ELECTED_MS = 75_000;
/** Every so many looks the store is read as a whole. */
const LOOKS_PER_SWEEP = 120;
/** A blob is stored before it is in the books: this long it may be on its way. */
const STRAY_MS = 6 * 3_600_000;

export interface BlobKeeperDeps {
  readonly redis: Redis;
  readonly cell: Cell;
  readonly book: BlobBook;
  readonly store: BlobStore;
  readonly logger: Logger;
}

export interface Removed {
  readonly blobs: number;
}

export function createBlobKeeper({ redis, cell, book, store, logger }: BlobKeeperDeps) {
  const lock = createKeys(cell).blobKeeper;
  const self = randomUUID();
  let looks = 0;
  let looking = false;

  async function isElected(): Promise<boolean> {
    if ((await redis.set(lock, self, 'PX', ELECTED_MS, 'NX')) === 'OK') return true;
    if ((await redis.get(lock)) !== self) return false;
    await redis.pexpire(lock, ELECTED_MS);
    return true;
  }

  /** What is over by the books. */
  async function removeExpired(): Promise<Removed> {
    let blobs = 0;
    for (const tenantId of await book.tenants()) {
      for (let more = true; more;) {
        const over = await book.expire(tenantId);
        for (const sha256 of over) {
          await store.remove({ tenantId, sha256 });
          await book.buried(tenantId, sha256);
        }
        blobs += over.length;
        more = over.length > 0;
      }
    }
    return { blobs };
  }

  /** What lies in the store and is in no book. */
  async function removeStrays(olderThanMs = STRAY_MS): Promise<Removed> {
    let blobs = 0;
    for await (const { tenantId, sha256, changedAtMs } of store.list()) {
      if (Date.now() - changedAtMs < olderThanMs) continue;
      if (await book.knows(tenantId, sha256)) continue;
      await store.remove({ tenantId, sha256 });
      blobs += 1;
    }
    return { blobs };
  }

  async function look(): Promise<void> {
    if (looking) return;
    looking = true;
    try {
      if (!(await isElected())) return;
      const expired = await removeExpired();
      const strays = looks++ % LOOKS_PER_SWEEP === 0 ? await removeStrays() : { blobs: 0 };
      const blobs = expired.blobs + strays.blobs;
      if (blobs > 0) logger.info({ expired, strays }, 'removed blobs');
    } catch (error) {
      logger.warn({ err: error }, 'could not look after the blobs');
    } finally {
      looking = false;
    }
  }

  return { look, removeExpired, removeStrays, close: tick(LOOK_EVERY_MS, look) };
}

export type BlobKeeper = ReturnType<typeof createBlobKeeper>;
