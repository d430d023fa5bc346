/**
 * The port behind which contents lie, by tenant and digest. What is kept is what its digest says, whole, or it
 * is not kept. Who may have what, and for how long, is in blob-book.ts: a store only stores.
 */
import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { chunkPassed } from './young-memory.js';

export interface BlobName {
  readonly tenantId: string;
  /** In lower-case hexadecimal. */
  readonly sha256: string;
}

export interface BlobEntry extends BlobName {
  readonly bytes: number;
  readonly changedAtMs: number;
}

/** First and last byte. */
export interface ByteRange {
  readonly first: number;
  readonly last: number;
}

export interface BlobStore {
  /** Keeps the content if it is as long as said and has that digest; else rejects with WrongContent. */
  put(name: BlobName, bytes: number, content: AsyncIterable<Uint8Array>): Promise<void>;
  /** Its size, or null when it is not here. */
  head(name: BlobName): Promise<number | null>;
  /** Of the whole, or of a range that lies within it. */
  get(name: BlobName, range?: ByteRange): Promise<Readable | null>;
  /** No matter whether it is there. */
  remove(name: BlobName): Promise<void>;
  /** All there is. */
  list(): AsyncIterable<BlobEntry>;
}

/** What came is not what was announced: the sender's mistake. */
export class WrongContent extends Error {
  override readonly name = 'WrongContent';
}

/** A name becomes part of a path or of a URL: only what cannot mean anything else there. */
export function checkName({ tenantId, sha256 }: BlobName): void {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(tenantId)) throw new Error('not the id of a tenant');
  if (!/^[0-9a-f]{64}$/.test(sha256)) throw new Error('not a digest');
}

/** Passes the content on; its end is reached only if all of it was as announced. */
export async function* verified(
  sha256: string,
  bytes: number,
  content: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = createHash('sha256');
  let seen = 0;
  for await (const chunk of content) {
    seen += chunk.length;
    if (seen > bytes) throw new WrongContent(`The content is longer than ${bytes} bytes.`);
    hash.update(chunk);
    yield chunk;
    chunkPassed(chunk.length);
  }
  if (seen !== bytes) throw new WrongContent(`The content has ${seen} bytes, not ${bytes}.`);
  if (hash.digest('hex') !== sha256) throw new WrongContent('The content has another SHA-256.');
}
