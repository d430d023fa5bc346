/** Archives that are unpacked in the box, before the job's files are written: as a client gives them, and as kept. */
import { z } from 'zod';
import { sha256Schema } from './blobs.js';
import { contentIssue } from './encoding.js';
import { absolutePath, directoryIssue } from './paths.js';

export const ARCHIVE_FORMATS = ['zip', 'tar.gz'] as const;
export const ARCHIVES_MAX = 16;

const CONTENT_CHARS_MAX = 24 * 1024 * 1024;

export const archiveSchema = z
  .strictObject({
    content: z.string().max(CONTENT_CHARS_MAX).optional(),
    blob: sha256Schema.optional().describe('In place of content: the SHA-256 of a blob.'),
    encoding: z.literal('base64', { error: 'must be "base64"' }).default('base64'),
    format: z.enum(ARCHIVE_FORMATS, { error: `must be one of ${ARCHIVE_FORMATS.join(', ')}` }),
    path: z
      .string()
      .superRefine((path, ctx) => {
        const message = directoryIssue(path);
        if (message !== null) ctx.addIssue({ code: 'custom', message });
      })
      .default('.')
      .describe('The directory it is unpacked into, which is made.'),
  })
  .superRefine(({ content, blob, encoding }, ctx) => {
    if ((content === undefined) === (blob === undefined)) {
      const message = 'is missing: give content or blob, not both';
      ctx.addIssue({ code: 'custom', path: ['content'], message });
    }
    const message = contentIssue({ content: content ?? '', encoding });
    if (message !== null) ctx.addIssue({ code: 'custom', path: ['content'], message });
  });

export const archivesSchema = z
  .array(archiveSchema)
  .max(ARCHIVES_MAX, { error: `must be at most ${ARCHIVES_MAX} archives` })
  .optional()
  .describe('Unpacked in the box, before files are written.');

export const archiveSpecSchema = z.strictObject({
  content: z.string(),
  encoding: z.literal('base64'),
  /** In place of content, which is empty then. */
  blob: z.string().optional(),
  format: z.enum(ARCHIVE_FORMATS),
  /** Absolute. */
  path: z.string(),
});

export type ArchiveSpec = z.infer<typeof archiveSpecSchema>;

export function archivesOf(
  archives: z.output<typeof archivesSchema>,
  cwd: string,
): readonly ArchiveSpec[] {
  return (archives ?? []).map(({ content, blob, encoding, format, path }) => ({
    content: content ?? '',
    encoding,
    ...(blob === undefined ? {} : { blob }),
    format,
    path: path === '.' ? cwd : absolutePath(path, cwd),
  }));
}
