/** The scheduler against its reference model, on sequences that nobody has tried before. */
import { afterAll, beforeAll, it } from 'vitest';
import { startRedis, type TestRedis } from '../helpers/redis.js';
import { assertAgreement } from '../models/scheduler-agreement.js';

let redis: TestRedis;

beforeAll(async () => {
  redis = await startRedis(['--appendonly', 'no']);
});
afterAll(() => redis.stop());

it('does what the reference model does, on a thousand sequences of a new seed', async () => {
  // Printed by a failure: MAYFLY_TEST_SEED of the short test makes the same ones again.
  await assertAgreement(redis, { numRuns: 1000, seed: Math.floor(Math.random() * 2 ** 31) });
});
