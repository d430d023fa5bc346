/** The sender of callbacks, put together. */
import type { Redis } from 'ioredis';
import type { Blobs } from '../platform/blobs.js';
import type { CallbackAddresses } from '../platform/callback-address.js';
import { createCallbackBody } from '../platform/callback-body.js';
import { createCallbackBook } from '../platform/callback-book.js';
import { createCallbackPost } from '../platform/callback-post.js';
import { listenTo } from '../platform/channel.js';
import { createCallbackSender, type CallbackSender } from '../platform/callback-sender.js';
import { createJobReader } from '../platform/job-reader.js';
import { createKeys, type Cell } from '../platform/keys.js';
import type { Logger } from '../platform/logger.js';
import type { Metrics } from '../platform/metrics.js';

export interface CallbacksDeps {
  readonly redis: Redis;
  readonly subscriber: Redis;
  readonly cell: Cell;
  readonly blobs: Blobs;
  readonly addresses: CallbackAddresses;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly lookEveryMs?: number;
}

export function startCallbacks(deps: CallbacksDeps): CallbackSender {
  const { redis, subscriber, cell, blobs, addresses, logger, metrics, lookEveryMs } = deps;
  const sender = createCallbackSender({
    book: createCallbackBook(redis, cell),
    bodyOf: createCallbackBody({ reader: createJobReader(redis, cell), blobs }),
    post: createCallbackPost({ addresses }),
    logger,
    metrics,
    ...(lookEveryMs === undefined ? {} : { lookEveryMs }),
  });
  const channel = createKeys(cell).callbacksDue;
  listenTo({ subscriber, channel, logger, take: () => void sender.look(), onHeard: sender.look });
  return sender;
}
