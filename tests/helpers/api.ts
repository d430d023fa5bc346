/** The whole API over a Redis, as its main puts it together, for supertest. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RequestListener } from 'node:http';
import request from 'supertest';
import { expect } from 'vitest';
import { createAdminApp } from '../../services/api/admin-app.js';
import { createApp } from '../../services/api/app.js';
import { createImageStore } from '../../services/api/image-store.js';
import { createAccess } from '../../services/platform/access.js';
import { createBlobBook } from '../../services/platform/blob-book.js';
import { createBlobKeeper, type BlobKeeper } from '../../services/platform/blob-keeper.js';
import { createFsBlobStore } from '../../services/platform/blob-store-fs.js';
import type { BlobStore } from '../../services/platform/blob-store.js';
import { createBlobs, type Blobs } from '../../services/platform/blobs.js';
import type { CallbackAddresses } from '../../services/platform/callback-address.js';
import { DEFAULT_CELL } from '../../services/platform/keys.js';
import { createLogger, type Logger } from '../../services/platform/logger.js';
import { createJobList } from '../../services/platform/job-list.js';
import { createOverviews } from '../../services/platform/overview.js';
import { createReadiness } from '../../services/platform/readiness.js';
import { createUsage } from '../../services/platform/usage.js';
import { createTenantJobs } from '../../services/platform/tenant-jobs.js';
import { createTenantKeys } from '../../services/platform/tenant-keys.js';
import { createTenants, type Tenants } from '../../services/platform/tenants.js';
import { watchAnswers, type Document } from './answers.js';
import { startReplica, type Replica } from './jobs.js';

export const API_KEY = 'key-of-the-tests';
export const INTERNAL_KEY = 'key-of-the-executors';
export const ADMIN_KEY = 'key-of-the-operator';
export const BLOB_RETENTION_MS = 60_000;
export const BODY_BYTES_MAX = 64 * 1024;

export interface TestApi {
  readonly app: RequestListener;
  readonly adminApp: RequestListener;
  /** Answers that were not as the OpenAPI document says; to close with any is an error. */
  violations(): readonly string[];
  readonly tenants: Tenants;
  readonly replica: Replica;
  readonly blobStore: BlobStore;
  readonly blobs: Blobs;
  readonly blobDir: string;
  readonly blobKeeper: BlobKeeper;
  close(): Promise<void>;
}

async function watchApp(app: RequestListener) {
  const { body } = await request(app).get('/openapi.json');
  return watchAnswers(app, body as Document);
}

export async function startApi(
  redisUrl: string,
  logger: Logger = createLogger('test', 'silent'),
  options: { readonly callbackAddresses?: CallbackAddresses } = {},
): Promise<TestApi> {
  const stateDir = await mkdtemp(join(tmpdir(), 'mayfly-state-'));
  await mkdir(join(stateDir, 'images'));
  await writeFile(
    join(stateDir, 'images', 'base.json'),
    JSON.stringify({
      name: 'base',
      digest: `sha256:${'0'.repeat(64)}`,
      layers: ['1'.repeat(64)],
      languages: ['python', 'c'],
      packages: [{ name: 'python3', version: '3.11.2', sha256: '2'.repeat(64) }],
      createdAt: '2026-01-01T00:00:00.000Z',
    }),
  );
  const replica = await startReplica(redisUrl, { ...options, reconciles: true });
  const cell = DEFAULT_CELL;
  const tenants = createTenants({ redis: replica.redis, cell });
  const store = createFsBlobStore(join(stateDir, 'blobs'));
  const book = createBlobBook(replica.redis, cell, BLOB_RETENTION_MS);
  const logDeps = { redis: replica.redis, cell, logger };
  const blobKeeper = createBlobKeeper({ ...logDeps, book, store });
  const blobs = createBlobs({ store, book });
  const app = createApp({
    jobs: replica.jobs,
    blobs,
    internalBlobs: { store, key: INTERNAL_KEY },
    listJobs: createJobList(replica.redis, cell),
    usage: createUsage({ redis: replica.redis, cell }),
    streams: replica.streams,
    images: createImageStore(stateDir, logger),
    checkReadiness: createReadiness(replica.redis, DEFAULT_CELL),
    access: createAccess({ redis: replica.redis, cell, tenants, defaultApiKey: API_KEY }),
    bodyBytesMax: BODY_BYTES_MAX,
    logger,
    validateReplies: true,
  });
  const adminApp = createAdminApp({
    tenants,
    tenantKeys: createTenantKeys({ redis: replica.redis, cell }),
    overviews: createOverviews({ redis: replica.redis, cell, getTenant: tenants.get }),
    cancelTenantJobs: createTenantJobs({
      redis: replica.redis,
      cell,
      scheduler: replica.scheduler,
    }),
    adminKey: ADMIN_KEY,
    logger,
    validateReplies: true,
  });
  const watched = {
    app: await watchApp(app),
    adminApp: await watchApp(adminApp),
  };
  const violations = () => [...watched.app.violations, ...watched.adminApp.violations];
  return {
    app: watched.app.watched,
    adminApp: watched.adminApp.watched,
    violations,
    tenants,
    replica,
    blobStore: store,
    blobs,
    blobDir: join(stateDir, 'blobs'),
    blobKeeper,
    async close() {
      expect(violations()).toEqual([]);
      blobKeeper.close();
      await replica.close();
      await rm(stateDir, { recursive: true, force: true });
    },
  };
}
