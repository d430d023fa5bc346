/** What more than one part of a job request is made of. */
import { z } from 'zod';
import { blobReferenceSchema, sha256Schema } from './blobs.js';
import { contentIssue, encodingSchema } from './encoding.js';
import { pathIssue } from './paths.js';

const MIB = 1024 * 1024;

/** Shorter than any JSON that would need it, long enough for base64 of the largest content. */
const CONTENT_CHARS_MAX = 24 * MIB;

export function checked(issueOf: (text: string) => string | null) {
  return z.string().superRefine((text, ctx) => {
    const message = issueOf(text);
    if (message !== null) ctx.addIssue({ code: 'custom', message });
  });
}

function noNul(text: string): string | null {
  if (text.includes('\0')) return 'must not contain NUL';
  return /\p{Surrogate}/u.test(text) ? 'must be valid UTF-8' : null;
}

export const argumentSchema = checked(noNul);
export const pathSchema = checked(pathIssue);
export const contentSchema = z.string().max(CONTENT_CHARS_MAX);

/** As text, or as the SHA-256 of a blob. */
export const stdinSchema = z.union([contentSchema, blobReferenceSchema], {
  error: 'must be text, or {"blob": "<sha256>"}',
});

export const envSchema = z.record(
  z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, { error: 'names are [A-Za-z_][A-Za-z0-9_]*' }),
  argumentSchema,
);

export const fileSchema = z
  .strictObject({
    path: pathSchema,
    content: contentSchema.optional(),
    blob: sha256Schema.optional().describe('In place of content: the SHA-256 of a blob.'),
    encoding: encodingSchema.default('utf8'),
    mode: z
      .string()
      .regex(/^0?[0-7]{3}$/, { error: 'must be three octal digits, such as "0644"' })
      .default('0644'),
  })
  .superRefine(({ content, blob, encoding }, ctx) => {
    if ((content === undefined) === (blob === undefined)) {
      const message = 'is missing: give content or blob, not both';
      ctx.addIssue({ code: 'custom', path: ['content'], message });
    }
    const message = contentIssue({ content: content ?? '', encoding });
    if (message !== null) ctx.addIssue({ code: 'custom', path: ['content'], message });
  });
