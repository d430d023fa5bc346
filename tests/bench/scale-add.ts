/**
 * What submitting a job costs over a bare `add` of BullMQ: the two in turns, on one Redis. Every job is admitted,
 * so that a submission has BullMQ's `add` in it.
 */
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { startRedis } from '../helpers/redis.js';
import { Samples } from './samples.js';
import { createSubmitter } from './scale-station.js';

const WARM_UP = 200;

export async function measureAdd(rounds: number) {
  const redis = await startRedis();
  const connection = new Redis({ path: redis.socketPath, maxRetriesPerRequest: null });
  const queue = new Queue('bare', { connection });
  const submitter = createSubmitter(redis.url, 1);
  const [adds, submits] = [new Samples(), new Samples()];
  const timed = async (samples: Samples, work: () => Promise<unknown>): Promise<void> => {
    const since = performance.now();
    await work();
    samples.add(performance.now() - since);
  };
  try {
    await submitter.openWindow();
    for (let round = -WARM_UP; round < rounds; round += 1) {
      const kept = round >= 0;
      const id = `a${round + WARM_UP}`;
      await timed(kept ? adds : new Samples(), () => queue.add('task', {}, { jobId: id }));
      await timed(kept ? submits : new Samples(), submitter.submit);
    }
  } finally {
    await queue.close();
    connection.disconnect();
    submitter.close();
    await redis.stop();
  }
  const [bareMs, submitMs] = [adds.percentile(0.5), submits.percentile(0.5)];
  const rounded = (ms: number): number => Math.round(ms * 1_000) / 1_000;
  return {
    bareMs: rounded(bareMs),
    submitMs: rounded(submitMs),
    overheadMs: rounded(submitMs - bareMs),
  };
}
