/**
 * Executors tell the operator about themselves, apart from the heartbeat that slots hang on: one that
 * drains has withdrawn from that, and is still of interest. A report is forgotten when it is not renewed.
 */
import type { Redis } from 'ioredis';
import { executorReportSchema, type ExecutorReport } from '../contract/overview.js';
import { createKeys, type Cell, type Keys } from './keys.js';
import type { Logger } from './logger.js';
import { tick } from './ticks.js';

const REPORT_EVERY_MS = 1_000;
const ALIVE_MS = 5_000;
/** The index is swept by the clocks of executors, which may differ by a good deal less than this. */
const SWEEP_AFTER_MS = 3_600_000;

export interface ExecutorReporterOptions {
  readonly redis: Redis;
  readonly keys: Keys;
  readonly read: () => ExecutorReport;
  readonly logger: Logger;
}

export function createExecutorReporter({ redis, keys, read, logger }: ExecutorReporterOptions) {
  let stopTelling: () => void = () => undefined;
  let telling = false;

  async function tell(): Promise<void> {
    // One at a time: while Redis is away a single report waits for it.
    if (telling) return;
    telling = true;
    try {
      const report = read();
      const now = Date.now();
      await redis
        .multi()
        .zadd(keys.reporting, now, report.id)
        .zremrangebyscore(keys.reporting, '-inf', now - SWEEP_AFTER_MS)
        .set(keys.report(report.id), JSON.stringify(report), 'PX', ALIVE_MS)
        .exec();
    } catch (error) {
      logger.debug({ err: error }, 'could not report');
    } finally {
      telling = false;
    }
  }

  return {
    tell,
    start(): void {
      void tell();
      stopTelling = tick(REPORT_EVERY_MS, tell);
    },
    /** It is gone when it stops, not five seconds later. */
    async stop(): Promise<void> {
      stopTelling();
      try {
        const { id } = read();
        await redis.multi().zrem(keys.reporting, id).del(keys.report(id)).exec();
      } catch (error) {
        logger.debug({ err: error }, 'could not take the report back');
      }
    },
  };
}

function parseReport(text: string | null): ExecutorReport[] {
  if (text === null) return [];
  // Of another version, in an upgrade: it is shown when all are of one.
  const parsed = executorReportSchema.safeParse(JSON.parse(text));
  return parsed.success ? [parsed.data] : [];
}

export function createExecutorList(redis: Redis, cell: Cell) {
  const keys = createKeys(cell);
  return async function list(): Promise<ExecutorReport[]> {
    const ids = await redis.zrange(keys.reporting, '0', '-1');
    if (ids.length === 0) return [];
    const texts = await redis.mget(ids.map(keys.report));
    return texts.flatMap(parseReport).sort((a, b) => (a.id < b.id ? -1 : 1));
  };
}
