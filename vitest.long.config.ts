import { defineConfig } from 'vitest/config';

// `npm run test:all`: whatever takes minutes lies beside its shorter relatives as *.long.test.ts.
export default defineConfig({
  test: {
    include: ['tests/**/*.long.test.ts'],
    environment: 'node',
    pool: 'forks',
    maxWorkers: 1,
    fileParallelism: false,
    testTimeout: 600_000,
    hookTimeout: 120_000,
  },
});
