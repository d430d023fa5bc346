/** Reads jobs: the record and the wanted parts of the result. */
import type { Redis } from 'ioredis';
import { z } from 'zod';
import {
  isFinal,
  jobStatusSchema,
  type HeavyPart,
  type Job,
  type TestResult,
} from '../contract/job.js';
import { parseCallbackRecord, parseJobRecord, renderJob } from './job-record.js';
import { createKeys, type Cell } from './keys.js';
import { inOneWrite } from './redis.js';
import {
  joinParts,
  joinTests,
  parseSlice,
  PLAN_PART,
  RESULT_PARTS,
  type ResultPart,
} from './result-parts.js';

function partsOf(include: readonly HeavyPart[] | undefined): ResultPart[] {
  return RESULT_PARTS.filter((part) => part === 'light' || (include?.includes(part) ?? true));
}

/** What HGETALL gives a script: names and values in turn, and an empty table is no array to cjson. */
const flatHashSchema = z
  .union([z.array(z.string()), z.strictObject({}).transform((): string[] => [])])
  .transform((flat) => {
    const hash: Record<string, string> = {};
    for (let at = 0; at + 1 < flat.length; at += 2) hash[flat[at] ?? ''] = flat[at + 1] ?? '';
    return hash;
  });
const toldSchema = z.tuple([flatHashSchema, flatHashSchema]);

function isPart(name: string): boolean {
  return RESULT_PARTS.some((part) => part === name);
}

function render(
  tenantId: string,
  jobId: string,
  hash: Readonly<Record<string, string>>,
  stored: Readonly<Record<string, string | null>>,
): Job | null {
  const record = parseJobRecord(hash);
  if (record?.tenant !== tenantId) return null;
  // A record read just before the end may come with the result read just after it.
  return renderJob(jobId, record, isFinal(record.status) ? joinParts(stored) : null);
}

export function createJobReader(redis: Redis, cell: Cell) {
  const keys = createKeys(cell);

  /**
   * In one round trip, or two when somebody is to be told of its end. A foreign job and a missing one are
   * the same null.
   */
  async function read(
    tenantId: string,
    jobId: string,
    include?: readonly HeavyPart[],
  ): Promise<Job | null> {
    const parts = partsOf(include);
    const [hash, values] = await inOneWrite(redis, () =>
      Promise.all([
        redis.hgetall(keys.job(jobId)),
        redis.hmget(keys.result(jobId), ...parts, PLAN_PART),
      ]),
    );
    const record = parseJobRecord(hash);
    if (record?.tenant !== tenantId) return null;
    const stored = Object.fromEntries(parts.map((part, index) => [part, values[index] ?? null]));
    const callback =
      record.callback === undefined
        ? null
        : parseCallbackRecord(await redis.hgetall(keys.callback(jobId)));
    const plan = values.at(-1) ?? null;
    const view = plan === null && !isFinal(record.status) ? null : joinParts(stored);
    if (plan === null || view === null) return renderJob(jobId, record, view, true, callback);
    // A judge job can be read while it runs: each of its slices adds to the result.
    const wanted = (part: HeavyPart): boolean => include?.includes(part) ?? true;
    const judged = joinTests(plan, await redis.hgetall(keys.result(jobId)), wanted);
    return renderJob(jobId, record, { ...view, judged }, wanted('tests'), callback);
  }

  /**
   * The same from what the end of the job was announced with, without a trip. What it does not know how
   * to read is read as always.
   */
  async function readTold(tenantId: string, jobId: string, told: string): Promise<Job | null> {
    const [hash, stored] = toldSchema.parse(JSON.parse(told));
    const known = Object.keys(stored).every(isPart) && hash.callback === undefined;
    if (!known) return await read(tenantId, jobId);
    return render(tenantId, jobId, hash, stored);
  }

  /** What there is of its result, by name. Whose job it is has to be known, here and below. */
  async function readParts(jobId: string): Promise<string[]> {
    return await redis.hkeys(keys.result(jobId));
  }

  /** The tests of slices that have ended, while the others may still run. */
  async function readTests(jobId: string, slices: readonly string[]): Promise<TestResult[]> {
    const texts = await redis.hmget(keys.result(jobId), ...slices);
    return texts.flatMap((text) => (text === null ? [] : parseSlice(text)));
  }

  /** Of these jobs the ones that have ended, or are gone. */
  async function readEnded(jobIds: readonly string[]): Promise<string[]> {
    const statuses = await Promise.all(
      jobIds.map((jobId) => redis.hget(keys.job(jobId), 'status')),
    );
    return jobIds.filter((_, index) => {
      const status = statuses[index] ?? null;
      return status === null || isFinal(jobStatusSchema.parse(status));
    });
  }

  return { read, readParts, readTests, readTold, readEnded };
}

export type JobReader = ReturnType<typeof createJobReader>;
