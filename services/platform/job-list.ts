/**
 * A tenant's jobs, newest first, in pages. The index is ordered by time and id, both of which never
 * change; a cursor is the last place that was looked at, so that what comes in meanwhile moves nothing.
 */
import type { Redis } from 'ioredis';
import { jobIdSchema } from '../contract/ids.js';
import type { JobStatus, JobSummary } from '../contract/job.js';
import { Refusal, refusalOf } from './errors.js';
import { parseJobRecord, renderSummary } from './job-record.js';
import { createKeys, type Cell } from './keys.js';

/** Read at once; and how many are looked at for one page, however few match. */
const CHUNK = 100;
const LOOKED_AT_MAX = 1_000;

export interface ListOptions {
  readonly limit: number;
  readonly status?: JobStatus | undefined;
  readonly cursor?: string | undefined;
}

export interface JobPage {
  readonly jobs: JobSummary[];
  readonly nextCursor: string | null;
}

interface Place {
  readonly score: string;
  readonly jobId: string;
}

function encodeCursor({ score, jobId }: Place): string {
  return Buffer.from(`${score} ${jobId}`).toString('base64url');
}

function decodeCursor(cursor: string): Place {
  const text = Buffer.from(cursor, 'base64url').toString('latin1');
  const [, score, jobId] = /^(\d{1,16}(?:\.\d{1,9})?) (\S+)$/.exec(text) ?? [];
  if (score === undefined || !jobIdSchema.safeParse(jobId).success) {
    throw new Refusal('invalid_request', 'cursor is not one of this service', {
      issues: [{ path: 'cursor', message: 'is not one of this service' }],
    });
  }
  return { score, jobId: jobId ?? '' };
}

export function createJobList(redis: Redis, cell: Cell) {
  const keys = createKeys(cell);

  /** What comes after a place: of the same time only smaller ids, as the index orders them. */
  async function placesAfter(tenantId: string, from: Place | null): Promise<Place[]> {
    const places: Place[] = [];
    for (let offset = 0; ; offset += CHUNK) {
      const flat = await redis.zrevrangebyscore(
        keys.jobs(tenantId),
        from?.score ?? '+inf',
        '-inf',
        'WITHSCORES',
        'LIMIT',
        offset,
        CHUNK,
      );
      for (let i = 0; i < flat.length; i += 2) {
        const place = { jobId: flat[i] ?? '', score: flat[i + 1] ?? '' };
        const passed = from?.score === place.score && place.jobId >= from.jobId;
        if (!passed) places.push(place);
      }
      if (places.length > 0 || flat.length < 2 * CHUNK) return places;
    }
  }

  async function readPage(tenantId: string, options: ListOptions): Promise<JobPage> {
    const { limit, status, cursor } = options;
    const jobs: JobSummary[] = [];
    let last = cursor === undefined ? null : decodeCursor(cursor);
    for (let looked = 0; looked < LOOKED_AT_MAX;) {
      const places = await placesAfter(tenantId, last);
      if (places.length === 0) return { jobs, nextCursor: null };
      const hashes = await Promise.all(places.map(({ jobId }) => redis.hgetall(keys.job(jobId))));
      for (const [index, place] of places.entries()) {
        last = place;
        looked += 1;
        const record = parseJobRecord(hashes[index] ?? {});
        // Gone by its own expiry; its entry is swept with the tenant's others.
        if (record?.tenant !== tenantId) continue;
        if (status !== undefined && record.status !== status) continue;
        jobs.push(renderSummary(place.jobId, record));
        if (jobs.length === limit) return { jobs, nextCursor: encodeCursor(place) };
      }
    }
    return { jobs, nextCursor: last && encodeCursor(last) };
  }

  return async function list(tenantId: string, options: ListOptions): Promise<JobPage> {
    try {
      return await readPage(tenantId, options);
    } catch (error) {
      throw refusalOf(error);
    }
  };
}

export type ListJobs = ReturnType<typeof createJobList>;
