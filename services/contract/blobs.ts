/** Blobs: contents that are uploaded once, by their digest, and then named wherever content is allowed. */
import { z } from 'zod';

const MIB = 1024 * 1024;

/** Of a stream or a collected file: what is larger comes as a blob. */
export const INLINE_BYTES_MAX = 16 * 1024;

/** The largest blob there can be. */
export const BLOB_BYTES_MAX = 1024 * MIB;

export const sha256Schema = z
  .string()
  .regex(/^[0-9a-f]{64}$/, { error: 'must be a SHA-256 as 64 hexadecimal digits, lower case' });

export const blobSchema = z.strictObject({
  sha256: z.string(),
  bytes: z.number().int().nonnegative(),
});

export type Blob = z.infer<typeof blobSchema>;

/** A content that lies elsewhere. */
export const blobReferenceSchema = z.strictObject({ blob: sha256Schema });

/** What was too large to be in a result itself. */
export const storedContentSchema = z.strictObject({
  blob: z.string(),
  bytes: z.number().int().nonnegative(),
});

export type StoredContent = z.infer<typeof storedContentSchema>;
