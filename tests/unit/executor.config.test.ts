import { availableParallelism } from 'node:os';
import { describe, expect, it } from 'vitest';
import { parseExecutorConfig } from '../../workers/executor/config.js';

const REDIS_URL = 'unix:///run/redis.sock';

describe("the executor's settings", () => {
  it('have defaults for everything but Redis', () => {
    expect(parseExecutorConfig({ REDIS_URL })).toMatchObject({
      redisUrl: REDIS_URL,
      slots: availableParallelism(),
      pool: 'default',
      poolImages: ['base'],
      stateDir: '/var/lib/mayfly',
      drainMs: 30_000,
      supervisorPath: null,
      logLevel: 'info',
    });
  });

  it('name everything that is wrong at once', () => {
    const env = {
      MAYFLY_SLOTS: '0',
      MAYFLY_POOL: 'No',
      MAYFLY_DRAIN_MS: '1s',
      MAYFLY_POOL_IMAGES: 'base,',
    };
    expect(() => parseExecutorConfig(env)).toThrow(
      /REDIS_URL[^]*MAYFLY_SLOTS[^]*MAYFLY_POOL[^]*MAYFLY_POOL_IMAGES[^]*MAYFLY_DRAIN_MS/,
    );
  });
});
