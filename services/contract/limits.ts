/**
 * The one table of limits. Validation, defaults, OpenAPI, the languages' own defaults and what the
 * sandbox receives are all derived from it. Every limit is always finite: there is no "0 = unlimited".
 */
import { z } from 'zod';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

export interface LimitDefinition {
  readonly min: number;
  readonly default: number;
  readonly max: number;
  readonly unit: 'ms' | 'bytes' | 'count' | 'cpus';
  readonly description: string;
}

export const LIMITS = {
  cpuTimeMs: {
    min: 1,
    default: 5_000,
    max: 60_000,
    unit: 'ms',
    description: 'CPU time of all processes of the step together.',
  },
  wallTimeMs: {
    min: 1,
    default: 10_000,
    max: 120_000,
    unit: 'ms',
    description: 'Time by the clock. Default: twice cpuTimeMs, at least 10 s.',
  },
  memoryBytes: {
    min: 4 * MIB,
    default: 256 * MIB,
    max: 2 * GIB,
    unit: 'bytes',
    description:
      'Memory of all processes of the step, with the files they wrote (the disk is memory).',
  },
  processes: {
    min: 1,
    default: 64,
    max: 512,
    unit: 'count',
    description: 'Processes and threads at the same time.',
  },
  outputBytes: {
    min: 1,
    default: MIB,
    max: 16 * MIB,
    unit: 'bytes',
    description: 'Bytes kept of stdout, and of stderr.',
  },
  diskBytes: {
    min: 64 * KIB,
    default: 64 * MIB,
    max: GIB,
    unit: 'bytes',
    description: 'Bytes of files; below memoryBytes. Default: at most half of memoryBytes.',
  },
  files: {
    min: 16,
    default: 4_096,
    max: 65_536,
    unit: 'count',
    description: 'Files and directories the box may create (inodes).',
  },
  fileBytes: {
    min: 1,
    default: 64 * MIB,
    max: GIB,
    unit: 'bytes',
    description: 'Size of one file.',
  },
  openFiles: {
    min: 8,
    default: 256,
    max: 1_024,
    unit: 'count',
    description: 'Open descriptors of one process.',
  },
  stackBytes: {
    min: 64 * KIB,
    default: 64 * MIB,
    max: GIB,
    unit: 'bytes',
    description: 'Stack of the main thread.',
  },
  cpus: {
    min: 0.05,
    default: 1,
    max: 2,
    unit: 'cpus',
    description: 'CPUs the step may use at once; fractions are a quota.',
  },
} as const satisfies Record<string, LimitDefinition>;

export type LimitName = keyof typeof LIMITS;
export type Limits = Record<LimitName, number>;
export type LimitsRequest = { readonly [K in LimitName]?: number | undefined };

export const LIMIT_NAMES = Object.keys(LIMITS) as readonly LimitName[];

/** What the single configured tenant may ask for; tenants with maxima of their own narrow this. */
export const LIMIT_MAXIMA: Readonly<Limits> = mapLimits((name) => LIMITS[name].max);

export function mapLimits(valueOf: (name: LimitName) => number): Limits {
  const limits = {} as Limits;
  for (const name of LIMIT_NAMES) limits[name] = valueOf(name);
  return limits;
}

function limitSchema(name: LimitName, maxima: Readonly<Limits>) {
  const { min, unit, description } = LIMITS[name];
  const max = maxima[name];
  const allowed = `must be from ${min} to ${max} ${unit}`;
  const base =
    unit === 'cpus'
      ? z.number({ error: allowed })
      : z.number({ error: allowed }).int({ error: `${allowed}, a whole number` });
  return base.min(min, { error: allowed }).max(max, { error: allowed }).describe(description);
}

/** Limits as a client may ask for them: any subset, each within its range. */
export function limitsRequestSchema(maxima: Readonly<Limits> = LIMIT_MAXIMA) {
  const shape = Object.fromEntries(
    LIMIT_NAMES.map((name) => [name, limitSchema(name, maxima).optional()]),
  ) as { [K in LimitName]: z.ZodOptional<z.ZodNumber> };
  return z.strictObject(shape);
}

/** Complete limits, as records, tasks and the sandbox carry them. */
export const limitsSchema = z.strictObject(
  Object.fromEntries(LIMIT_NAMES.map((name) => [name, limitSchema(name, LIMIT_MAXIMA)])) as {
    [K in LimitName]: z.ZodNumber;
  },
);

/** What a language (or its compile step) changes about the table's defaults. */
export type LimitDefaults = { readonly [K in LimitName]?: number };

export interface LimitIssue {
  readonly name: LimitName;
  readonly message: string;
}

export interface ResolvedLimits {
  readonly limits: Limits;
  readonly issues: readonly LimitIssue[];
}

/**
 * Completes what was asked for: request, else the language's default, else the table's. Values are
 * expected to be in range already (the schema's work); here are only the rules between limits.
 */
export function resolveLimits(
  requested: LimitsRequest = {},
  defaults: LimitsRequest = {},
  maxima: Readonly<Limits> = LIMIT_MAXIMA,
): ResolvedLimits {
  const limits = mapLimits((name) =>
    Math.min(requested[name] ?? defaults[name] ?? LIMITS[name].default, maxima[name]),
  );
  const issues: LimitIssue[] = [];

  // A program given more CPU time than the default must be able to use it up; one CPU is assumed.
  if (requested.wallTimeMs === undefined) {
    limits.wallTimeMs = Math.min(
      Math.max(limits.wallTimeMs, 2 * limits.cpuTimeMs),
      maxima.wallTimeMs,
    );
  }
  if (requested.diskBytes === undefined) {
    limits.diskBytes = Math.min(limits.diskBytes, Math.floor(limits.memoryBytes / 2));
  } else if (limits.diskBytes >= limits.memoryBytes) {
    issues.push({
      name: 'diskBytes',
      message:
        `must be below memoryBytes (${limits.memoryBytes}): ` +
        'the disk of a box is memory-backed',
    });
  }
  return { limits, issues };
}
