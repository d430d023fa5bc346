/** Reads a process's environment through its schema: pure, and it names everything that is wrong. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { issuesOf } from '../contract/issues.js';
import { LOG_LEVELS } from './logger.js';
import { parseRedisUrl } from './redis.js';

export class ConfigError extends Error {
  constructor(issues: readonly { readonly path: string; readonly message: string }[]) {
    super(issues.map(({ path, message }) => `${path}: ${message}`).join('\n'));
    this.name = 'ConfigError';
  }
}

/** EX_CONFIG of sysexits.h: whoever keeps a process running need not start it again. */
export const CONFIG_EXIT_CODE = 78;

/** Of a process that could not start. */
export function exitCodeOf(error: unknown): number {
  return error instanceof ConfigError ? CONFIG_EXIT_CODE : 1;
}

/**
 * A secret may lie in a file that only the service can read: `NAME_FILE` is the path, and what is in
 * there, without the last line's end, is `NAME`.
 */
export function withSecretFiles(
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  const found = { ...env };
  for (const [variable, path] of Object.entries(env)) {
    const name = /^((?:MAYFLY|REDIS)_\w+)_FILE$/.exec(variable)?.[1];
    if (name === undefined || path === undefined || path === '') continue;
    if (env[name] !== undefined && env[name] !== '') {
      throw new ConfigError([{ path: variable, message: `is set beside ${name}` }]);
    }
    found[name] = readSecret(variable, path);
  }
  return found;
}

function readSecret(variable: string, path: string): string {
  try {
    return readFileSync(path, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ConfigError([{ path: variable, message: why }]);
  }
}

/** An empty variable counts as one that is not set. */
export function parseConfig<T extends z.ZodType>(
  schema: T,
  env: Readonly<Record<string, string | undefined>>,
): z.output<T> {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  throw new ConfigError(issuesOf(parsed.error));
}

export const redisUrlSetting = z
  .string({ error: 'is missing' })
  .superRefine((url, ctx) => {
    try {
      parseRedisUrl(url);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      ctx.addIssue({ code: 'custom', message: `must be redis://… or unix:///…: ${reason}` });
    }
  })
  .describe('`redis://…`, `rediss://…` or `unix:///path/to/socket`.');

export const logLevelSetting = z
  .enum(LOG_LEVELS, { error: `must be one of ${LOG_LEVELS.join(', ')}` })
  .default('info')
  .describe(`One of ${LOG_LEVELS.join(', ')}.`);

export function integerSetting(min: number, max: number) {
  const error = `must be a whole number from ${min} to ${max}`;
  return z
    .string()
    .regex(/^\d{1,15}$/, { error })
    .transform(Number)
    .pipe(z.number().min(min, { error }).max(max, { error }));
}
