/**
 * Connections to Redis, of two kinds: one that gives up within seconds, so that a client of the API
 * hears 503 instead of waiting, and a patient one for whoever must not lose what it has to say.
 */
import { createHash } from 'node:crypto';
import { Redis } from 'ioredis';
import type { Logger } from './logger.js';

/** Where a Redis is and how to be let in. */
export type RedisTarget =
  | { readonly path: string }
  | {
      readonly host: string;
      readonly port: number;
      readonly db: number;
      readonly username?: string;
      readonly password?: string;
      readonly tls?: object;
    };

/** `redis://…`, `rediss://…`, or `unix:///path/to/socket`. */
export function parseRedisUrl(url: string): RedisTarget {
  const parsed = new URL(url);
  if (parsed.protocol === 'unix:') return { path: decodeURIComponent(parsed.pathname) };
  if (parsed.protocol !== 'redis:' && parsed.protocol !== 'rediss:') {
    throw new Error('the scheme must be redis:, rediss: or unix:');
  }
  const db = Number(parsed.pathname.slice(1) || '0');
  if (!Number.isInteger(db) || db < 0) throw new Error('the path must be the number of a database');
  return {
    host: parsed.hostname.replace(/^\[|\]$/g, ''),
    port: Number(parsed.port || '6379'),
    db,
    ...(parsed.username === '' ? {} : { username: decodeURIComponent(parsed.username) }),
    ...(parsed.password === '' ? {} : { password: decodeURIComponent(parsed.password) }),
    ...(parsed.protocol === 'rediss:' ? { tls: {} } : {}),
  };
}

/** Quick at first, since most breaks are restarts; then twice a second. */
function retryDelayMs(attempt: number): number {
  return Math.min(50 * attempt, 500);
}

/** No offline queue, one retry, an answer or an error within two seconds. */
export function createFailFastRedis(url: string, logger: Logger): Redis {
  const redis = new Redis({
    ...parseRedisUrl(url),
    retryStrategy: retryDelayMs,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    commandTimeout: 2_000,
    connectTimeout: 2_000,
  });
  return watched(redis, logger);
}

/** What BullMQ and the executor's books need: commands wait for the connection to come back. */
export function patientRedisOptions(url: string) {
  return { ...parseRedisUrl(url), maxRetriesPerRequest: null, retryStrategy: retryDelayMs };
}

export function createPatientRedis(url: string, logger: Logger): Redis {
  return watched(new Redis(patientRedisOptions(url)), logger);
}

/** Subscriptions are renewed by their owner, who has to read again what it may have missed. */
export function createSubscriberRedis(url: string, logger: Logger): Redis {
  return watched(new Redis({ ...patientRedisOptions(url), autoResubscribe: false }), logger);
}

function watched(redis: Redis, logger: Logger): Redis {
  // Every failed attempt to reconnect is an event of its own; one line per break is enough.
  let broken = false;
  redis.on('error', (error) => {
    if (!broken) logger.warn({ err: error }, 'redis connection failed');
    broken = true;
  });
  redis.on('ready', () => {
    if (broken) logger.info('redis connection is back');
    broken = false;
  });
  return redis;
}

export interface Script {
  /** In metrics. */
  readonly name: string;
  readonly lua: string;
  readonly sha: string;
}

export function createScript(lua: string, name = 'other'): Script {
  return { name, lua, sha: createHash('sha1').update(lua).digest('hex') };
}

/** Runs a script by its hash, and loads it when this Redis has not seen it. The cell is its key. */
export async function runScript(
  redis: Redis,
  script: Script,
  cell: string,
  args: readonly (string | number)[],
): Promise<unknown> {
  try {
    return await redis.evalsha(script.sha, 1, cell, ...args);
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
    return await redis.eval(script.lua, 1, cell, ...args);
  }
}

/**
 * What `send` says at once goes out in one write. Otherwise Redis may read, carry out and write to its log
 * each command by itself, and the second waits for the disk twice.
 */
export function inOneWrite<T>(redis: Redis, send: () => T): T {
  // Null before the first connection.
  const stream = redis.stream as Redis['stream'] | null;
  stream?.cork();
  try {
    return send();
  } finally {
    stream?.uncork();
  }
}
