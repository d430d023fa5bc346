/** /v1/blobs: contents uploaded once, by their digest. */
import type { Request } from 'express';
import { z } from 'zod';
import { BLOB_BYTES_MAX, blobSchema, sha256Schema } from '../contract/blobs.js';
import { WrongContent } from '../platform/blob-store.js';
import type { Blobs } from '../platform/blobs.js';
import { Refusal } from '../platform/errors.js';
import { ApiProblem } from './problems.js';
import { rangeOf } from './range.js';
import { route, type Reply, type Route } from './route.js';

const MISSING = 'No such blob.';
const params = z.strictObject({ sha256: sha256Schema });
/** A body of bytes, as the document shows it. */
export const bytesSchema = z.string().meta({ format: 'binary' });

export interface BlobRoutesDeps {
  readonly blobs: Blobs;
}

/** What the request says about the length of its body; it has to. */
export function announcedBytes(request: Request): number {
  const header = request.get('Content-Length');
  if (header === undefined || !/^\d{1,15}$/.test(header)) {
    throw new ApiProblem('length_required', 'Send Content-Length.');
  }
  const bytes = Number(header);
  if (bytes > BLOB_BYTES_MAX) {
    throw new ApiProblem('payload_too_large', `A blob has at most ${BLOB_BYTES_MAX} bytes.`);
  }
  return bytes;
}

/** An answer that tells the wrong content from a failure of ours. */
export async function refusingWrongContent<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof WrongContent) throw new ApiProblem('wrong_content', error.message);
    throw error;
  }
}

export function createBlobRoutes({ blobs }: BlobRoutesDeps): Route[] {
  async function infoOf(tenantId: string, sha256: string) {
    const info = await blobs.info({ tenantId, sha256 });
    if (info === null) throw new Refusal('not_found', MISSING);
    return info;
  }

  /** A digest names its content: whatever has it once may keep it. */
  const headersOf = (sha256: string) => ({
    'Accept-Ranges': 'bytes',
    'Content-Type': 'application/octet-stream',
    'Content-Disposition': 'attachment',
    'Cache-Control': 'private, max-age=31536000, immutable',
    ETag: `"${sha256}"`,
  });

  return [
    route({
      method: 'put',
      path: '/v1/blobs/{sha256}',
      operationId: 'putBlob',
      summary: 'Upload a content by its SHA-256; what is there already is not sent again.',
      params,
      missing: MISSING,
      bytes: true,
      responses: { 200: { description: 'It is kept.', schema: blobSchema } },
      async handle({ tenantId, params: { sha256 }, request }): Promise<Reply> {
        const bytes = announcedBytes(request);
        const name = { tenantId, sha256 };
        const body = await refusingWrongContent(blobs.upload(name, bytes, () => request));
        return { status: 200, body };
      },
    }),
    route({
      method: 'head',
      path: '/v1/blobs/{sha256}',
      operationId: 'headBlob',
      summary: 'Whether a blob is there, and how large it is.',
      params,
      missing: MISSING,
      responses: { 200: { description: 'It is there.', schema: bytesSchema } },
      async handle({ tenantId, params: { sha256 } }): Promise<Reply> {
        const { bytes } = await infoOf(tenantId, sha256);
        return {
          status: 200,
          body: '',
          headers: { ...headersOf(sha256), 'Content-Length': String(bytes) },
        };
      },
    }),
    route({
      method: 'get',
      path: '/v1/blobs/{sha256}',
      operationId: 'getBlob',
      summary: 'Read a blob, or a range of it.',
      params,
      missing: MISSING,
      responses: {
        200: { description: 'The content.', schema: bytesSchema },
        206: { description: 'A range of it.', schema: bytesSchema },
      },
      async handle({ tenantId, params: { sha256 }, request }): Promise<Reply> {
        const { bytes } = await infoOf(tenantId, sha256);
        const { range, status, headers } = rangeOf(request, bytes);
        const content = await blobs.read({ tenantId, sha256 }, range);
        if (content === null) throw new Refusal('not_found', MISSING);
        return { status, body: '', content, headers: { ...headersOf(sha256), ...headers } };
      },
    }),
  ];
}
