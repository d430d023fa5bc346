/** The executor: takes tasks, runs each in a box of its own, gives back what is not done when it stops. */
import { randomBytes } from 'node:crypto';
import { availableParallelism, hostname } from 'node:os';
import { join } from 'node:path';
import { createBlobBook } from '../../services/platform/blob-book.js';
import { createBlobStore } from '../../services/platform/blob-config.js';
import { createHttpBlobStore } from '../../services/platform/blob-store-http.js';
import { createBlobs } from '../../services/platform/blobs.js';
import { DEFAULT_CELL } from '../../services/platform/keys.js';
import { createLogger, type Logger } from '../../services/platform/logger.js';
import { createPatientRedis } from '../../services/platform/redis.js';
import { exitCodeOf, withSecretFiles } from '../../services/platform/config.js';
import { shutdownOnSignals } from '../../services/platform/shutdown.js';
import type { Metrics } from '../../services/platform/metrics.js';
import { startTelemetry } from '../../services/platform/telemetry.js';
import { PROCESSES_MAX } from '../../services/contract/process-request.js';
import { createTaskSource } from '../../services/platform/task-source.js';
import { createBlobCache, type BlobCache } from './blob-cache.js';
import { logBoxes } from './box-log.js';
import { parseExecutorConfig, type ExecutorConfig } from './config.js';
import { createImageVersions, readImages } from './images.js';
import { createCores } from './judge/cores.js';
import { createRunGradeTask } from './judge/run-grade-task.js';
import { createRunJudgeTask } from './judge/run-judge-task.js';
import { createLayerCache } from './layer-cache.js';
import { loadNativeLibrary } from './native-binding.js';
import { nativeProducts } from './native-products.js';
import { startNativeSandbox } from './native-sandbox.js';
import { openProgram } from './native-memory.js';
import { createRunGraphTask } from './run-graph-task.js';
import { createRunTask } from './run-task.js';
import { warmImages } from './warm.js';

/**
 * The boxes of one task at a time, and one more: the next is opened while the one before is taken away. A test has no
 * more: its own, the next one's, and its checker's.
 */
const BOXES_PER_SLOT = PROCESSES_MAX + 1;
/** What it may take, after draining, to kill the boxes and say good-bye to Redis. */
const STOP_MS = 12_000;

async function main(config: ExecutorConfig): Promise<void> {
  const logger = createLogger('executor', config.logLevel);
  const executorId = `${hostname().slice(0, 40)}-${randomBytes(6).toString('hex')}`;
  const telemetry = await startTelemetry(config.telemetry, {
    service: 'executor',
    instanceId: executorId,
  });
  const images = readImages(config.stateDir);
  const { supervisorPath, libraryPath, unpackPath, extractPath } = nativeProducts(
    config.supervisorPath,
  );
  const sandbox = await startNativeSandbox({
    library: loadNativeLibrary(libraryPath),
    supervisorPath,
    images: images.map(({ manifest: { name }, layerPaths }) => ({
      name,
      layerPaths,
      keepReady: config.poolImages.includes(name),
    })),
    boxesMax: BOXES_PER_SLOT * config.slots,
    poolBoxes: config.slots,
    warm: { images: warmImages(), bytesMax: config.warmBytes },
    log: logger,
    onRestart: () => telemetry.metrics.count('mayfly_supervisor_restarts_total', {}),
  });
  const blobs = await startBlobs(config, logger);
  observeCache(telemetry.metrics, blobs.cache);
  const layers = await createLayerCache({
    directory: join(config.stateDir, 'products'),
    bytesMax: config.layerCacheBytes,
    unpackPath,
    onDropped: (path) => sandbox.dropLayer(path),
    log: logger,
  });
  const taskSource = createTaskSource({
    redisUrl: config.redisUrl,
    executorId,
    slots: config.slots,
    pool: config.pool,
    images: images.map(({ manifest }) => manifest.name),
    logger,
    telemetry,
  });
  shutdownOnSignals({
    logger,
    releases: [
      () => taskSource.drain(config.drainMs),
      () => sandbox.stop(),
      () => blobs.close(),
      () => layers.close(),
      () => telemetry.stop(),
    ],
    deadlineMs: config.drainMs + STOP_MS,
  });
  const imageVersion = createImageVersions(images);
  const extractor = openProgram(extractPath);
  // One stays for all that has none alone.
  const cores = createCores(availableParallelism() - 1);
  const runWhole = createRunTask({ sandbox, imageVersion, blobs, extractor });
  const runGraph = createRunGraphTask({ sandbox, imageVersion, blobs }, runWhole);
  const runGrade = createRunGradeTask({ sandbox, layers, imageVersion }, runGraph);
  await taskSource.start(
    logBoxes(config.boxLog, createRunJudgeTask({ sandbox, layers, imageVersion, cores }, runGrade)),
  );
  logger.info(
    { slots: config.slots, images: images.map(({ manifest }) => manifest.name) },
    'the executor is ready',
  );
}

async function startBlobs(config: ExecutorConfig, logger: Logger) {
  const { blobsOfApi, cacheDir: directory, cacheBytes: bytesMax } = config;
  const redis = createPatientRedis(config.redisUrl, logger);
  const store =
    blobsOfApi === null ? await createBlobStore(config.blobs) : createHttpBlobStore(blobsOfApi);
  const book = createBlobBook(redis, DEFAULT_CELL, config.blobs.MAYFLY_BLOB_RETENTION_MS);
  return {
    cache: await createBlobCache({ store, directory, bytesMax }),
    results: createBlobs({ store, book }),
    close: () => redis.disconnect(),
  };
}

function observeCache(metrics: Metrics, { counts }: BlobCache): void {
  metrics.observe('mayfly_blob_cache_opens_total', () => [
    [{ result: 'hit' }, counts.hits],
    [{ result: 'fetch' }, counts.fetches],
    [{ result: 'corrupted' }, counts.corrupted],
  ]);
  metrics.observe('mayfly_blob_cache_fetched_bytes_total', () => [[{}, counts.bytesFetched]]);
}

try {
  await main(parseExecutorConfig(withSecretFiles(process.env)));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(exitCodeOf(error));
}
