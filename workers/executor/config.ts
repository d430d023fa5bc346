/** The executor's settings. Only main.ts hands the environment in. */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import {
  blobSettings,
  internalKeySetting,
  type BlobSettings,
} from '../../services/platform/blob-config.js';
import { telemetrySettings, type TelemetryConfig } from '../../services/platform/telemetry.js';
import {
  ConfigError,
  integerSetting,
  logLevelSetting,
  parseConfig,
  redisUrlSetting,
} from '../../services/platform/config.js';

/** Below the deadline of those who stop us, so that there is time to requeue. */
const DRAIN_MS_MAX = 600_000;
/** MAYFLY_SLOTS above it would be more boxes than one supervisor takes. */
const SLOTS_MAX = 256;

export const executorConfigSchema = z.object({
  REDIS_URL: redisUrlSetting,
  MAYFLY_SLOTS: integerSetting(1, SLOTS_MAX)
    .optional()
    .describe('Boxes that run at a time; unset: the CPUs of the host.'),
  MAYFLY_POOL: z
    .string()
    .regex(/^[a-z0-9-]{1,32}$/, { error: 'must be 1 to 32 characters of a-z0-9-' })
    .default('default')
    .describe('Label of executors that can run the same jobs.'),
  MAYFLY_POOL_IMAGES: z
    .string()
    .regex(/^([a-z][a-z0-9-]*(,[a-z][a-z0-9-]*)*)?$/, { error: 'must be names, with commas' })
    .default('base')
    .transform((names) => (names === '' ? [] : names.split(',')))
    .describe('Images that boxes are kept ready for; the others only while they are in use.'),
  MAYFLY_WARM_MIB: integerSetting(0, 1_048_576)
    .default(256)
    .describe(
      'Memory that interpreters may take which are started ahead of their jobs, in MiB; 0: none is.',
    ),
  MAYFLY_STATE_DIR: z
    .string()
    .startsWith('/', { error: 'must be an absolute path' })
    .default('/var/lib/mayfly')
    .describe('The image store.'),
  MAYFLY_DRAIN_MS: integerSetting(0, DRAIN_MS_MAX)
    .default(30_000)
    .describe('How long what runs may go on after SIGTERM; then it is given back.'),
  MAYFLY_SUPERVISOR: z
    .string()
    .startsWith('/', { error: 'must be an absolute path' })
    .optional()
    .describe('Path of the supervisor; unset: the one built with this package.'),
  ...blobSettings,
  MAYFLY_API_URL: z
    .url({ error: 'must be a URL' })
    .optional()
    .describe(
      'Of an API process whose blobs are used, where neither its disk nor a bucket is shared.',
    ),
  MAYFLY_INTERNAL_KEY: internalKeySetting,
  MAYFLY_CACHE_DIR: z
    .string()
    .startsWith('/', { error: 'must be an absolute path' })
    .optional()
    .describe('Where blobs are kept that jobs have used. Default: cache in MAYFLY_STATE_DIR.'),
  MAYFLY_CACHE_BYTES: integerSetting(1_024, 2 ** 50)
    .default(1024 ** 3)
    .describe('How much of them.'),
  MAYFLY_BOX_LOG: z
    .string()
    .startsWith('/', { error: 'must be an absolute path' })
    .optional()
    .describe('A file that gets a line for every run, to check the books by.'),
  MAYFLY_LAYER_CACHE_MIB: integerSetting(16, 1_048_576)
    .default(1_024)
    .describe('Disk that what compile steps left may take, in MiB.'),
  MAYFLY_LOG_LEVEL: logLevelSetting,
  ...telemetrySettings,
});

export interface ExecutorConfig {
  readonly redisUrl: string;
  readonly slots: number;
  readonly pool: string;
  readonly poolImages: readonly string[];
  /** 0: no interpreter is started ahead of its job. */
  readonly warmBytes: number;
  readonly stateDir: string;
  readonly drainMs: number;
  /** Null: no such log. */
  readonly boxLog: string | null;
  /** Null: the one that was built with this package. */
  readonly supervisorPath: string | null;
  readonly layerCacheBytes: number;
  readonly logLevel: z.output<typeof logLevelSetting>;
  readonly telemetry: TelemetryConfig;
  readonly blobs: BlobSettings;
  /** Null: of a directory or a bucket that is shared. */
  readonly blobsOfApi: { readonly url: string; readonly key: string } | null;
  readonly cacheDir: string;
  readonly cacheBytes: number;
}

export function parseExecutorConfig(
  env: Readonly<Record<string, string | undefined>>,
): ExecutorConfig {
  const config = parseConfig(executorConfigSchema, env);
  return {
    redisUrl: config.REDIS_URL,
    slots: config.MAYFLY_SLOTS ?? availableParallelism(),
    pool: config.MAYFLY_POOL,
    poolImages: config.MAYFLY_POOL_IMAGES,
    warmBytes: config.MAYFLY_WARM_MIB * 1_024 * 1_024,
    stateDir: config.MAYFLY_STATE_DIR,
    drainMs: config.MAYFLY_DRAIN_MS,
    boxLog: config.MAYFLY_BOX_LOG ?? null,
    supervisorPath: config.MAYFLY_SUPERVISOR ?? null,
    layerCacheBytes: config.MAYFLY_LAYER_CACHE_MIB * 1_024 * 1_024,
    logLevel: config.MAYFLY_LOG_LEVEL,
    telemetry: config,
    blobs: config,
    blobsOfApi: blobsOfApi(config.MAYFLY_API_URL, config.MAYFLY_INTERNAL_KEY),
    cacheDir: config.MAYFLY_CACHE_DIR ?? join(config.MAYFLY_STATE_DIR, 'cache'),
    cacheBytes: config.MAYFLY_CACHE_BYTES,
  };
}

function blobsOfApi(
  url: string | undefined,
  key: string | undefined,
): ExecutorConfig['blobsOfApi'] {
  if (url === undefined) return null;
  if (key === undefined) {
    const message = 'is missing: MAYFLY_API_URL needs it';
    throw new ConfigError([{ path: 'MAYFLY_INTERNAL_KEY', message }]);
  }
  return { url, key };
}
