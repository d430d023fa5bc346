/** /v1/jobs/{id}/files/{path}: a collected file, raw. */
import { Readable } from 'node:stream';
import * as contentDisposition from 'content-disposition';
import { contentType, lookup } from 'mime-types';
import { z } from 'zod';
import { decodeContent } from '../contract/encoding.js';
import { jobIdSchema } from '../contract/ids.js';
import type { CollectedFile } from '../contract/job.js';
import type { Blobs } from '../platform/blobs.js';
import { Refusal } from '../platform/errors.js';
import type { Jobs } from '../platform/jobs.js';
import { rangeOf } from './range.js';
import { route, type Reply, type Route } from './route.js';

const MISSING = 'No such file.';
const PATH_CHARS_MAX = 4_096;
const BYTES = 'application/octet-stream';
/** Of whatever type the name of the file says. */
const fileSchema = z.string().meta({ format: 'binary', contentMediaType: '*/*' });

/**
 * The types that a browser may show in its place: pictures of dots. Whatever else a program wrote, a page, a
 * picture of lines with a script in it, is saved and not opened: it would have the rights of this address.
 */
const SHOWN: ReadonlySet<string> = new Set([
  'image/png',
  'image/jpeg',
  'image/gif',
  'image/webp',
  'image/bmp',
  'image/avif',
]);

const params = z.strictObject({
  id: jobIdSchema,
  path: z
    .union([z.string(), z.array(z.string()).transform((parts) => parts.join('/'))])
    .pipe(z.string().min(1).max(PATH_CHARS_MAX)),
});

export interface JobFileRoutesDeps {
  readonly jobs: Jobs;
  readonly blobs: Blobs;
}

/** A program chose the name; it may say anything, and only the header's own library writes it down. */
export function headersOf(path: string): Record<string, string> {
  const media = lookup(path) || BYTES;
  const type = SHOWN.has(media) ? 'inline' : 'attachment';
  const name = path.slice(path.lastIndexOf('/') + 1);
  return {
    'Content-Type': contentType(media) || BYTES,
    'Content-Disposition': contentDisposition.create(name, { type }),
    'Content-Security-Policy': "default-src 'none'; sandbox",
    'X-Content-Type-Options': 'nosniff',
    'Accept-Ranges': 'bytes',
    'Cache-Control': 'private, no-cache',
  };
}

export function createJobFileRoutes({ jobs, blobs }: JobFileRoutesDeps): Route[] {
  async function contentOf(tenantId: string, file: CollectedFile, range: Range) {
    if ('blob' in file) return await blobs.read({ tenantId, sha256: file.blob }, range);
    const bytes = decodeContent(file);
    const part = range === undefined ? bytes : bytes.subarray(range.first, range.last + 1);
    return Readable.from([part], { objectMode: false });
  }

  return [
    route({
      method: 'get',
      path: '/v1/jobs/{id}/files/{path}',
      operationId: 'getJobFile',
      summary: 'One collected file, raw, or a range of it.',
      params,
      missing: MISSING,
      responses: {
        200: { description: 'The content.', schema: fileSchema },
        206: { description: 'A range of it.', schema: fileSchema },
      },
      async handle({ tenantId, params: { id, path }, request, bindJob }): Promise<Reply> {
        bindJob(id);
        const job = await jobs.get(tenantId, id, { waitMs: 0, include: ['files'] });
        const file = job?.files?.find((each) => each.path === path || each.path === `/${path}`);
        if (file === undefined) throw new Refusal('not_found', MISSING);
        const { status, range, headers } = rangeOf(request, file.bytes);
        const content = await contentOf(tenantId, file, range);
        if (content === null) throw new Refusal('not_found', MISSING);
        return { status, body: '', content, headers: { ...headersOf(file.path), ...headers } };
      },
    }),
  ];
}

type Range = ReturnType<typeof rangeOf>['range'];
