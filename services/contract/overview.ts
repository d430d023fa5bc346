/** What an operator sees: the installation at one moment, and each executor as it last told. */
import { z } from 'zod';

const count = z.number().int().nonnegative();
const name = z.string().max(256);

const countsSchema = z.record(name, count);

export const tallySchema = z.strictObject({
  runs: countsSchema.describe('Runs of tasks by how they ended.'),
  outcomes: countsSchema.describe('Steps by outcome.'),
  stages: z
    .record(name, z.strictObject({ count, seconds: z.number().nonnegative() }))
    .describe('Time spent in each stage of a run.'),
});

export const executorReportSchema = z.strictObject({
  id: name,
  pool: name,
  version: name,
  draining: z.boolean().describe('It takes no more, and ends what it has.'),
  slots: count,
  busySlots: count,
  images: z.array(name).max(1_000),
  cpus: count.describe('Of its host.'),
  load: z.number().nonnegative().describe('Of its host: the one-minute load average.'),
  startedAt: z.iso.datetime(),
  tally: tallySchema.describe('Since it started.'),
});

export const executorListSchema = z.strictObject({ executors: z.array(executorReportSchema) });

export const overviewSchema = z.strictObject({
  at: z.iso.datetime(),
  pools: z.array(
    z.strictObject({
      pool: name,
      backlog: count.describe('Tasks that wait.'),
      delayed: count.describe('Of these, those that wait to be tried again after a fault.'),
      inflight: count.describe('Tasks that hold a slot.'),
      slots: count,
      executors: count,
    }),
  ),
  tenants: z
    .array(
      z.strictObject({
        id: name,
        name: name.nullable().describe('Null when it has been deleted.'),
        weight: z.number().nullable(),
        backlog: count,
        running: count,
      }),
    )
    .describe('Those that have something waiting or running, the busiest first.'),
  executors: z.strictObject({ live: count, draining: count }),
  totals: tallySchema.describe('Sums over the executors that live now, each since it started.'),
  redis: z.strictObject({
    memoryBytes: count,
    memoryBytesMax: count.describe('0: no bound is set.'),
  }),
});

export type Tally = z.infer<typeof tallySchema>;
export type ExecutorReport = z.infer<typeof executorReportSchema>;
export type Overview = z.infer<typeof overviewSchema>;
