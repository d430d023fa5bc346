/** Who may have which blobs, and for how long: the books in Redis, kept by scripts (scripts/blobs.ts). */
import type { Redis } from 'ioredis';
import { PLAN_DEFAULTS } from '../contract/plan.js';
import { refusalOf } from './errors.js';
import { createKeys, type Cell } from './keys.js';
import { createScript, runScript } from './redis.js';
import { parseReply } from './script-replies.js';
import {
  BLOB_ADMIT,
  BLOB_BURIED,
  BLOB_DROP,
  BLOB_EXPIRE,
  BLOB_KEEP,
  BLOB_REFER,
  BLOB_TOUCH,
} from './scripts/blobs.js';

/** An upload that takes longer has lost its place. */
const UPLOAD_MS_MAX = 3_600_000;
/** Of one tenant at the same time. */
const UPLOADS_MAX = 64;
/** Long beyond what removing a blob takes. */
const DYING_MS = 60_000;
/** One that is held by a job is looked at again after this. */
const HELD_AGAIN_MS = 60_000;
const EXPIRE_AT_ONCE = 100;

export interface Upload {
  readonly id: string;
  readonly tenantId: string;
  readonly sha256: string;
  readonly bytes: number;
}

export type Admission = 'go' | 'known' | 'dying' | 'busy' | 'full';

/** While the job may still run, or while its record is there. */
export type Reference = `in ${string}` | `out ${string}`;

const SCRIPTS = {
  admit: createScript(BLOB_ADMIT),
  keep: createScript(BLOB_KEEP),
  drop: createScript(BLOB_DROP),
  refer: createScript(BLOB_REFER),
  touch: createScript(BLOB_TOUCH),
  expire: createScript(BLOB_EXPIRE),
  buried: createScript(BLOB_BURIED),
};

export function createBlobBook(redis: Redis, cell: Cell, retentionMs: number) {
  const keys = createKeys(cell);

  async function run<S extends string>(
    script: keyof typeof SCRIPTS,
    args: readonly (string | number)[],
    statuses: readonly S[],
  ) {
    let reply: unknown;
    try {
      reply = await runScript(redis, SCRIPTS[script], cell, args);
    } catch (error) {
      throw refusalOf(error);
    }
    return parseReply(reply, statuses);
  }

  async function admit({ tenantId, sha256, bytes, id }: Upload): Promise<Admission> {
    const args = [
      tenantId,
      sha256,
      bytes,
      id,
      PLAN_DEFAULTS.blobBytesMax,
      UPLOAD_MS_MAX,
      UPLOADS_MAX,
    ];
    const statuses = ['go', 'known', 'dying', 'busy', 'full'] as const;
    return (await run('admit', [...args, retentionMs], statuses)).status;
  }

  /** Without a reference it is kept for as long as uploads are. */
  async function keep(upload: Upload, reference: Reference | null): Promise<void> {
    const { tenantId, sha256, bytes, id } = upload;
    const keepMs = reference === null ? retentionMs : 0;
    await run('keep', [tenantId, sha256, bytes, id, keepMs, reference ?? ''], ['ok']);
  }

  async function drop({ tenantId, id, bytes }: Upload): Promise<void> {
    await run('drop', [tenantId, `${id} ${bytes}`], ['ok']);
  }

  /** Those that are not there; when there are any, nothing is referred to. */
  async function refer(
    tenantId: string,
    reference: Reference,
    digests: readonly string[],
  ): Promise<string[]> {
    const args = [tenantId, reference, retentionMs, ...digests];
    const { status, rest } = await run('refer', args, ['ok', 'missing']);
    return status === 'ok' ? [] : rest;
  }

  async function touch(tenantId: string, sha256: string): Promise<number | null> {
    const { rest } = await run('touch', [tenantId, sha256, retentionMs], ['ok', 'missing']);
    return rest[0] === undefined ? null : Number(rest[0]);
  }

  /** Strikes out what is over; the caller removes it, and says so with `buried`. */
  async function expire(tenantId: string): Promise<string[]> {
    const args = [tenantId, EXPIRE_AT_ONCE, DYING_MS, HELD_AGAIN_MS];
    return (await run('expire', args, ['ok'])).rest;
  }

  return {
    admit,
    keep,
    drop,
    refer,
    touch,
    expire,
    buried: async (tenantId: string, sha256: string): Promise<void> => {
      await run('buried', [tenantId, sha256], ['ok']);
    },
    tenants: (): Promise<string[]> => redis.smembers(keys.blobTenants),
    /** Without counting as a use. */
    knows: async (tenantId: string, sha256: string): Promise<boolean> =>
      (await redis.hexists(keys.blobSizes(tenantId), sha256)) === 1,
  };
}

export type BlobBook = ReturnType<typeof createBlobBook>;
