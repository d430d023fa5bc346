/** The settings that say where blobs lie, and the store that they mean. */
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { createBlobBook, type BlobBook } from './blob-book.js';
import { createFsBlobStore } from './blob-store-fs.js';
import type { BlobStore } from './blob-store.js';
import { ConfigError, integerSetting } from './config.js';
import type { Cell } from './keys.js';

const HOUR_MS = 3_600_000;

export const blobSettings = {
  MAYFLY_BLOB_STORE: z
    .enum(['fs', 's3'], { error: 'must be fs or s3' })
    .default('fs')
    .describe('Where blobs lie: in a directory of this host, or in a bucket.'),
  MAYFLY_BLOB_DIR: z
    .string()
    .startsWith('/', { error: 'must be an absolute path' })
    .optional()
    .describe('The directory. Default: blobs in MAYFLY_STATE_DIR.'),
  MAYFLY_BLOB_S3_BUCKET: z.string().optional().describe('The bucket.'),
  MAYFLY_BLOB_S3_REGION: z.string().default('us-east-1').describe('Its region.'),
  MAYFLY_BLOB_S3_ENDPOINT: z
    .url({ error: 'must be a URL' })
    .optional()
    .describe("Where it is served, if it is not one of Amazon's own."),
  MAYFLY_BLOB_S3_PREFIX: z
    .string()
    .default('')
    .describe('What the names of all blobs in the bucket begin with.'),
  MAYFLY_BLOB_RETENTION_MS: integerSetting(1_000, 366 * 24 * HOUR_MS)
    .default(24 * HOUR_MS)
    .describe('How long a blob is kept after its last use.'),
};

export const internalKeySetting = z
  .string()
  .regex(/^[\x21-\x7e]{16,256}$/, { error: 'must be 16 to 256 printable characters, no spaces' })
  .optional()
  .describe('What an executor on another host shows to get at the blobs of this API.');

export interface BlobSettings extends z.output<z.ZodObject<typeof blobSettings>> {
  readonly MAYFLY_STATE_DIR: string;
}

export interface BlobParts {
  readonly store: BlobStore;
  readonly book: BlobBook;
}

export async function createBlobStore(settings: BlobSettings): Promise<BlobStore> {
  if (settings.MAYFLY_BLOB_STORE === 'fs') {
    return createFsBlobStore(settings.MAYFLY_BLOB_DIR ?? join(settings.MAYFLY_STATE_DIR, 'blobs'));
  }
  const { MAYFLY_BLOB_S3_BUCKET: bucket } = settings;
  if (bucket === undefined) {
    throw new ConfigError([{ path: 'MAYFLY_BLOB_S3_BUCKET', message: 'is missing' }]);
  }
  // Whoever has no bucket does not pay for the client: 30 MiB of memory, and a quarter of a second.
  const { createS3BlobStore } = await import('./blob-store-s3.js');
  return createS3BlobStore({
    bucket,
    region: settings.MAYFLY_BLOB_S3_REGION,
    endpoint: settings.MAYFLY_BLOB_S3_ENDPOINT ?? null,
    prefix: settings.MAYFLY_BLOB_S3_PREFIX,
    credentials: null,
  });
}

export async function createBlobParts(
  settings: BlobSettings,
  redis: Redis,
  cell: Cell,
): Promise<BlobParts> {
  return {
    store: await createBlobStore(settings),
    book: createBlobBook(redis, cell, settings.MAYFLY_BLOB_RETENTION_MS),
  };
}
