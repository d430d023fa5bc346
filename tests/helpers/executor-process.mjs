// An executor in a process of its own, for tests that kill it. Runs take the milliseconds that stdin says;
// each one is written to a ledger of the test's own, outside the records it is compared with.
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, URL } from 'node:url';
import { Redis } from 'ioredis';
import { runnerImport } from 'vite';

const [redisUrl, socketPath, ledger] = process.argv.slice(2);
const helper = fileURLToPath(new URL('./fake-executor.ts', import.meta.url));
const { module } = await runnerImport(helper);
const redis = new Redis({ path: socketPath, maxRetriesPerRequest: null });
redis.on('error', () => undefined);

const source = await module.startFakeExecutor(redisUrl, async (task) => {
  await sleep(Number(task.spec.stdin.content));
  await redis.rpush(ledger, `${task.jobId} ${task.run}`);
  return module.finished(task);
});
process.stdout.write(`${source.executorId}\n`);
