/** The API process: puts the parts together, listens, and takes them apart again. */
import { randomUUID } from 'node:crypto';
import { ConfigError, exitCodeOf, parseConfig, withSecretFiles } from '../platform/config.js';
import { createBlobParts } from '../platform/blob-config.js';
import { createBlobKeeper } from '../platform/blob-keeper.js';
import { createBlobs } from '../platform/blobs.js';
import { createCallbackAddresses } from '../platform/callback-address.js';
import { createJobs } from '../platform/jobs.js';
import { DEFAULT_CELL } from '../platform/keys.js';
import { createLogger } from '../platform/logger.js';
import { createMemoryGuard } from '../platform/memory-guard.js';
import { createJobList } from '../platform/job-list.js';
import { createOverviews } from '../platform/overview.js';
import { createReadiness } from '../platform/readiness.js';
import { createUsage } from '../platform/usage.js';
import { createReconciler } from '../platform/reconciler.js';
import { createFailFastRedis, createSubscriberRedis } from '../platform/redis.js';
import { createScheduler } from '../platform/scheduler.js';
import { shutdownOnSignals } from '../platform/shutdown.js';
import { observeQueue } from '../platform/queue-metrics.js';
import { createStreams } from '../platform/streams.js';
import { createAccess } from '../platform/access.js';
import { createTenantJobs, type TenantJobsOptions } from '../platform/tenant-jobs.js';
import { createTenantKeys } from '../platform/tenant-keys.js';
import { createTenants } from '../platform/tenants.js';
import { createAdminApp, type AdminAppDeps } from './admin-app.js';
import { startTelemetry } from '../platform/telemetry.js';
import { createApp } from './app.js';
import { startCallbacks } from './callbacks.js';
import { apiConfigSchema, type ApiConfig } from './config.js';
import { createImageStore } from './image-store.js';
import { listen, type Listening } from './listen.js';

const SHUTDOWN_MS_MAX = 15_000;

async function main(config: ApiConfig): Promise<void> {
  const logger = createLogger('api', config.MAYFLY_LOG_LEVEL);
  const replicaId = randomUUID();
  const telemetry = await startTelemetry(config, { service: 'api', instanceId: replicaId });
  const { MAYFLY_INTERNAL_KEY: internalKey, REDIS_URL: redisUrl } = config;
  const cell = DEFAULT_CELL;
  const redis = createFailFastRedis(redisUrl, logger);
  const subscriber = createSubscriberRedis(redisUrl, logger);
  const scheduler = createScheduler({ redis, cell, metrics: telemetry.metrics });
  const memoryGuard = createMemoryGuard(redis);
  const reconciler = createReconciler({ redis, cell, scheduler, logger });
  const { store, book } = await createBlobParts(config, redis, cell);
  const blobKeeper = createBlobKeeper({ redis, cell, book, store, logger });
  const shared = { redis, subscriber, scheduler, replicaId, logger, cell };
  const addresses = createCallbackAddresses(config.MAYFLY_CALLBACK_ALLOW);
  const jobs = createJobs({
    ...shared,
    blobBook: book,
    memoryGuard,
    telemetry,
    callbackAddresses: addresses,
  });
  const tenants = createTenants({ redis, cell });
  const blobs = createBlobs({ store, book });
  const streams = createStreams({ ...shared, blobs });
  const { metrics } = telemetry;
  const callbacks = startCallbacks({ ...shared, blobs, addresses, metrics });
  const app = createApp({
    jobs,
    streams,
    blobs,
    internalBlobs: internalKey === undefined ? null : { store, key: internalKey },
    listJobs: createJobList(redis, cell),
    usage: createUsage({ redis, cell }),
    images: createImageStore(config.MAYFLY_STATE_DIR, logger),
    checkReadiness: createReadiness(redis, cell),
    access: createAccess({ redis, cell, tenants, defaultApiKey: config.MAYFLY_API_KEY }),
    bodyBytesMax: config.MAYFLY_BODY_BYTES_MAX,
    logger,
    telemetry,
  });
  observeQueue(telemetry.metrics, redis, cell);
  const server = await listen(app, config.HOST, config.PORT);
  logger.info({ url: server.url }, 'listening');
  const admin = await listenForAdmin(config, { redis, cell, scheduler, tenants, logger });

  shutdownOnSignals({
    logger,
    deadlineMs: SHUTDOWN_MS_MAX,
    releases: [
      // Whoever waits gets an answer before the port closes behind them.
      () => jobs.close(),
      () => streams.close(),
      () => server.close(),
      () => admin?.close(),
      () => callbacks.close(),
      () => reconciler.close(),
      () => blobKeeper.close(),
      () => memoryGuard.close(),
      () => {
        redis.disconnect();
        subscriber.disconnect();
      },
      () => telemetry.stop(),
    ],
  });
}

type AdminParts = Pick<AdminAppDeps, 'tenants' | 'logger'> & TenantJobsOptions;

async function listenForAdmin(config: ApiConfig, parts: AdminParts): Promise<Listening | null> {
  const { MAYFLY_ADMIN_KEY: adminKey, MAYFLY_ADMIN_HOST, MAYFLY_ADMIN_PORT } = config;
  if (adminKey === undefined) return null;
  const app = createAdminApp({
    ...parts,
    tenantKeys: createTenantKeys(parts),
    overviews: createOverviews({ ...parts, getTenant: parts.tenants.get }),
    cancelTenantJobs: createTenantJobs(parts),
    adminKey,
  });
  const admin = await listen(app, MAYFLY_ADMIN_HOST, MAYFLY_ADMIN_PORT);
  parts.logger.info({ url: admin.url }, 'listening for the operator');
  return admin;
}

try {
  await main(parseConfig(apiConfigSchema, withSecretFiles(process.env)));
} catch (error) {
  console.error(error instanceof ConfigError ? error.message : error);
  process.exit(exitCodeOf(error));
}
