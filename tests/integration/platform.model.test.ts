/** The scheduler against its reference model, on the same sequences each time; MAYFLY_TEST_SEED gives others. */
import { afterAll, beforeAll, it } from 'vitest';
import { startRedis, type TestRedis } from '../helpers/redis.js';
import { assertAgreement } from '../models/scheduler-agreement.js';

let redis: TestRedis;

beforeAll(async () => {
  redis = await startRedis(['--appendonly', 'no']);
});
afterAll(() => redis.stop());

it('does what the reference model does, whatever comes in whatever order', async () => {
  await assertAgreement(redis, {
    numRuns: 30,
    seed: Number(process.env['MAYFLY_TEST_SEED'] ?? '7'),
  });
}, 120_000);
