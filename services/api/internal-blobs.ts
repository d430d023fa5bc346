/**
 * /internal/blobs/{tenant}/{sha256}: the blob store of this process, for executors on other hosts. With a key of
 * their own (MAYFLY_INTERNAL_KEY), and only if there is one; the books are not touched here.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import express, { type RequestHandler, type Router } from 'express';
import type { BlobName, BlobStore } from '../platform/blob-store.js';
import { announcedBytes, refusingWrongContent } from './blob-routes.js';
import { ApiProblem } from './problems.js';
import { rangeOf } from './range.js';

export interface InternalBlobsDeps {
  readonly store: BlobStore;
  readonly key: string;
}

export function createInternalBlobs({ store, key }: InternalBlobsDeps): Router {
  const router = express.Router();
  router.use(requireKey(key));

  router.put('/blobs/:tenantId/:sha256', async (request, response) => {
    const name = nameOf(request.params);
    const bytes = announcedBytes(request);
    await refusingWrongContent(store.put(name, bytes, request));
    response.status(204).end();
  });
  router.get('/blobs/:tenantId/:sha256', async (request, response) => {
    const name = nameOf(request.params);
    const bytes = await store.head(name);
    const portion = bytes === null ? null : rangeOf(request, bytes);
    if (portion === null) throw new ApiProblem('not_found', 'No such blob.');
    response.status(portion.status).set(portion.headers);
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    const content = await store.get(name, portion.range);
    if (content === null) throw new ApiProblem('not_found', 'No such blob.');
    await pipeline(content, response).catch(() => response.destroy());
  });
  router.delete('/blobs/:tenantId/:sha256', async (request, response) => {
    await store.remove(nameOf(request.params));
    response.status(204).end();
  });
  return router;
}

function nameOf(params: { readonly tenantId: string; readonly sha256: string }): BlobName {
  const { tenantId, sha256 } = params;
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(tenantId) || !/^[0-9a-f]{64}$/.test(sha256)) {
    throw new ApiProblem('not_found', 'No such blob.');
  }
  return { tenantId, sha256 };
}

function requireKey(key: string): RequestHandler {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  const expected = digest(`Bearer ${key}`);
  return (request, _response, next) => {
    const given = digest(request.headers.authorization ?? '');
    if (!timingSafeEqual(expected, given)) {
      throw new ApiProblem('unauthenticated', 'This is for executors.');
    }
    next();
  };
}
