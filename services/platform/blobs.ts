/**
 * Blobs as the API and the executors need them: the store and the books together. An upload has its room in the
 * books before its first byte is stored, and is in the books only once the store has all of it.
 */
import { randomUUID } from 'node:crypto';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Blob } from '../contract/blobs.js';
import type { BlobBook, Reference, Upload } from './blob-book.js';
import { WrongContent, type BlobName, type BlobStore, type ByteRange } from './blob-store.js';
import { Refusal } from './errors.js';

/** Removing takes milliseconds; who wants to upload what is being removed waits for that. */
const DYING_AGAIN_MS = 50;
const DYING_LOOKS = 100;

/** Opens the content anew. */
export type OpenContent = () => AsyncIterable<Uint8Array>;

export interface Blobs {
  /** Throws a Refusal, or WrongContent. */
  upload(name: BlobName, bytes: number, content: OpenContent): Promise<Blob>;
  /** What a job leaves, kept while the job can be read. False: the tenant has no room for it. */
  keepResult(name: BlobName, bytes: number, jobId: string, content: OpenContent): Promise<boolean>;
  /** Null: there is none, or it is another tenant's. */
  info(name: BlobName): Promise<Blob | null>;
  read(name: BlobName, range?: ByteRange): Promise<Readable | null>;
}

export interface BlobsDeps {
  readonly store: BlobStore;
  readonly book: BlobBook;
}

export function createBlobs({ store, book }: BlobsDeps): Blobs {
  /** Resolves when it may be stored; to false when it need not be. */
  async function admitted(upload: Upload): Promise<boolean> {
    for (let looks = 0; looks < DYING_LOOKS; looks += 1) {
      const admission = await book.admit(upload);
      if (admission === 'go') return true;
      // Of what the books say the store is asked: it is what has to hand it out.
      if (admission === 'known') return (await stored(store.head(upload))) === null;
      if (admission === 'full') {
        throw new Refusal('blobs_full', 'There is no room left for the blobs of this tenant.');
      }
      if (admission === 'busy') throw new Refusal('uploads_full', 'Too many uploads at once.');
      await sleep(DYING_AGAIN_MS);
    }
    throw new Refusal('unavailable', 'This blob is just being removed.');
  }

  async function keep(
    name: BlobName,
    bytes: number,
    reference: Reference | null,
    content: OpenContent,
  ): Promise<void> {
    const upload = { ...name, bytes, id: randomUUID() };
    const wanted = await admitted(upload);
    try {
      if (wanted) await stored(store.put(name, bytes, content()));
      await book.keep(upload, reference);
    } catch (error) {
      await book.drop(upload).catch(() => undefined);
      throw error;
    }
  }

  return {
    async upload(name, bytes, content) {
      await keep(name, bytes, null, content);
      return { sha256: name.sha256, bytes };
    },
    async keepResult(name, bytes, jobId, content) {
      try {
        await keep(name, bytes, `out ${jobId}`, content);
        return true;
      } catch (error) {
        if (error instanceof Refusal && error.code === 'blobs_full') return false;
        throw error;
      }
    },
    async info(name) {
      if ((await book.touch(name.tenantId, name.sha256)) === null) return null;
      const bytes = await stored(store.head(name));
      return bytes === null ? null : { sha256: name.sha256, bytes };
    },
    read: (name, range) => stored(store.get(name, range)),
  };
}

/** Whatever a store says, a client can only come back later. */
async function stored<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof WrongContent) throw error;
    throw new Refusal('unavailable', 'The blob store cannot be reached.', { cause: error });
  }
}
