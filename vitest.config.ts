import { defineConfig } from 'vitest/config';

// Tests that start boxes measure time and count processes on the whole machine, so they run one
// file at a time and after the tests that only need a processor or a Redis of their own.
/** On an emulated machine everything takes so many times as long. */
const slowness = Number(process.env['MAYFLY_TEST_SLOWNESS'] ?? '1');

interface Project {
  readonly name: string;
  readonly group: number;
  readonly serial: boolean;
  readonly timeoutMs: number;
}

const projects: readonly Project[] = [
  { name: 'unit', group: 0, serial: false, timeoutMs: 10_000 },
  { name: 'integration', group: 1, serial: false, timeoutMs: 30_000 },
  // Looks at what the integration tests saw, so it runs behind them and only with them.
  { name: 'conformance', group: 2, serial: true, timeoutMs: 10_000 },
  { name: 'native', group: 3, serial: true, timeoutMs: 60_000 },
  { name: 'security', group: 4, serial: true, timeoutMs: 60_000 },
  { name: 'e2e', group: 5, serial: true, timeoutMs: 120_000 },
];

export default defineConfig({
  test: {
    reporters: ['default'],
    projects: projects.map(({ name, group, serial, timeoutMs }) => ({
      test: {
        name,
        include: [`tests/${name}/**/*.test.ts`],
        exclude: ['**/*.long.test.ts'],
        environment: 'node' as const,
        pool: 'forks' as const,
        maxWorkers: serial ? 1 : 2,
        fileParallelism: !serial,
        // Loading what all of them use takes some of them longer than running.
        isolate: serial,
        sequence: { groupOrder: group },
        testTimeout: timeoutMs * slowness,
        hookTimeout: timeoutMs * slowness,
      },
    })),
  },
});
