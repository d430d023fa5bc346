/** The sender of callbacks, put together. */
import type { Redis } from 'ioredis';
import type { Blobs } from '../platform/blobs.js';
import type { CallbackAddresses } from '../platform/callback-address.js';
import { createCallbackBody } from '../platform/callback-body.js';
import { createCallbackBook } from '../platform/callback-book.js';
import { createCallbackPost } from '../platform/callback-post.js';
import { createCallbackSender, type CallbackSender } from '../platform/callback-sender.js';
import { createJobReader } from '../platform/job-reader.js';
import type { Cell } from '../platform/keys.js';
import type { Logger } from '../platform/logger.js';
import type { Metrics } from '../platform/metrics.js';

export interface CallbacksDeps {
  readonly redis: Redis;
  readonly cell: Cell;
  readonly blobs: Blobs;
  readonly addresses: CallbackAddresses;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export function startCallbacks(deps: CallbacksDeps): CallbackSender {
  const { redis, cell, blobs, addresses, logger, metrics } = deps;
  return createCallbackSender({
    book: createCallbackBook(redis, cell),
    bodyOf: createCallbackBody({ reader: createJobReader(redis, cell), blobs }),
    post: createCallbackPost({ addresses }),
    logger,
    metrics,
  });
}
