/** A channel of Redis, heard again after every break of the connection: what was said meanwhile is lost. */
import type { Redis } from 'ioredis';
import type { Logger } from './logger.js';

export interface ChannelOptions {
  readonly subscriber: Redis;
  readonly channel: string;
  readonly logger: Logger;
  readonly take: (text: string) => void;
  /** Each time that it can be heard again; is to look at what may have been missed. */
  readonly onHeard: () => unknown;
}

export function listenTo({ subscriber, channel, logger, take, onHeard }: ChannelOptions): void {
  subscriber.on('message', (from: string, text: string) => {
    if (from !== channel) return;
    try {
      take(text);
    } catch (error) {
      logger.error({ err: error }, 'a message that is none');
    }
  });
  const subscribe = (): void => {
    // Where the connection broke again, its next `ready` brings us back here.
    subscriber
      .subscribe(channel)
      .then(onHeard)
      .catch((error: unknown) => {
        logger.warn({ err: error }, 'could not subscribe');
      });
  };
  subscriber.on('ready', subscribe);
  if (subscriber.status === 'ready') subscribe();
}
