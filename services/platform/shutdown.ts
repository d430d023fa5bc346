/** Ends a process once, in order, whatever asks first; what hangs is not waited for for ever. */
import type { Logger } from './logger.js';

export type Release = () => Promise<void> | void;

export interface ShutdownOptions {
  readonly logger: Logger;
  /** In this order: first what takes work, last what it needs. */
  readonly releases: readonly Release[];
  readonly deadlineMs: number;
}

export function shutdownOnSignals({ logger, releases, deadlineMs }: ShutdownOptions): void {
  let stopping = false;
  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    if (stopping) return;
    stopping = true;
    logger.info({ signal }, 'stopping');
    setTimeout(() => {
      logger.error('could not stop in time');
      process.exit(1);
    }, deadlineMs).unref();
    for (const release of releases) {
      try {
        await release();
      } catch (error) {
        logger.error({ err: error }, 'failed to stop a part');
      }
    }
    logger.info('stopped');
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => void stop(signal));
  }
}
