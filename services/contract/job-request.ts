/**
 * The body of POST /v1/jobs: its shape. What holds between fields, and what a job becomes once it is
 * accepted, is in job-spec.ts. Unknown fields are refused, so a client never believes in a feature
 * that does nothing.
 */
import { z } from 'zod';
import { archivesSchema } from './archives.js';
import { callbackRequestSchema } from './callback.js';
import { terminalSizeSchema } from './control.js';
import { encodingSchema } from './encoding.js';
import {
  gradeRequestSchema,
  judgeRequestSchema,
  JUDGE_CAPS,
  testRequestSchema,
} from './judge-request.js';
import { LANGUAGE_NAMES } from './languages.js';
import { limitsRequestSchema } from './limits.js';
import { cwdIssue } from './paths.js';
import { nameSchema, pipesSchema, processesSchema } from './process-request.js';
import {
  argumentSchema,
  checked,
  contentSchema,
  envSchema,
  fileSchema,
  pathSchema,
  stdinSchema,
} from './request-parts.js';

const KIB = 1024;
const MIB = 1024 * KIB;

/** Sizes of a request. A body that keeps to them fits into the API's body limit. */
export const REQUEST_CAPS = {
  files: 1_024,
  filesBytes: 16 * MIB,
  stdinBytes: 16 * MIB,
  /** The kernel takes 128 KiB for one string and a quarter of the stack for all; half of it is ours. */
  argvEnvBytes: 96 * KIB,
  metadataBytes: 4 * KIB,
  steps: 32,
  collect: 64,
} as const;

/** What is returned of the files that `collect` matches; the rest is named in `filesOmitted`. */
export const COLLECT_CAPS = { files: 256, fileBytes: 64 * MIB, totalBytes: 64 * MIB } as const;

/** How long an interactive job may wait for a client. */
export const IDLE_MS = { min: 1_000, default: 60_000, max: 600_000 } as const;
const IDLE_ERROR = `must be from ${IDLE_MS.min} to ${IDLE_MS.max} ms`;

const stepSchema = z.strictObject({
  name: nameSchema,
  argv: z.array(argumentSchema).min(1, { error: 'must name a command' }),
  stdin: stdinSchema.optional(),
  stdinEncoding: encodingSchema.optional(),
  env: envSchema.optional(),
  limits: limitsRequestSchema().optional(),
});

const metadataSchema = z.record(z.string(), z.unknown()).superRefine((metadata, ctx) => {
  if (jsonBytes(metadata) > REQUEST_CAPS.metadataBytes) {
    const message = `must be at most ${REQUEST_CAPS.metadataBytes} bytes of JSON`;
    ctx.addIssue({ code: 'custom', message });
  }
});

function jsonBytes(value: unknown): number {
  try {
    return Buffer.byteLength(JSON.stringify(value));
  } catch {
    // Nested deeper than the stack: certainly larger than the cap.
    return Number.POSITIVE_INFINITY;
  }
}

export const jobRequestSchema = z.strictObject({
  language: z
    .enum(LANGUAGE_NAMES, { error: `must be one of ${LANGUAGE_NAMES.join(', ')}` })
    .optional()
    .describe('A language of GET /v1/languages; or give image and steps.'),
  source: contentSchema.optional().describe("Short for a file with the language's main file name."),
  files: z
    .array(fileSchema)
    .max(REQUEST_CAPS.files, { error: `must be at most ${REQUEST_CAPS.files} files` })
    .default([]),
  archives: archivesSchema,
  image: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, { error: 'must be the name of an image' })
    .optional(),
  steps: z
    .array(stepSchema)
    .min(1, { error: 'must have a step' })
    .max(REQUEST_CAPS.steps, { error: `must be at most ${REQUEST_CAPS.steps} steps` })
    .optional()
    .describe('Commands that share one box; they stop at the first that does not exit with 0.'),
  processes: processesSchema
    .optional()
    .describe('In place of steps: commands that run at the same time, each in a box of its own.'),
  pipes: pipesSchema.optional().describe('Between processes.'),
  stdin: stdinSchema.optional(),
  stdinEncoding: encodingSchema.optional(),
  args: z.array(argumentSchema).optional(),
  env: envSchema.optional(),
  cwd: checked(cwdIssue).optional(),
  limits: limitsRequestSchema().optional(),
  compile: z
    .strictObject({
      args: z.array(argumentSchema).optional(),
      limits: limitsRequestSchema().optional(),
    })
    .optional(),
  onOutputLimit: z.enum(['kill', 'truncate'], { error: 'must be "kill" or "truncate"' }).optional(),
  mergeStderr: z.boolean().optional(),
  interactive: z
    .boolean()
    .optional()
    .describe('More input may come while the job runs (docs/streaming.md).'),
  terminal: terminalSizeSchema
    .optional()
    .describe('With interactive: all streams are one terminal, read as stdout.'),
  idleTimeMs: z
    .number({ error: IDLE_ERROR })
    .int({ error: IDLE_ERROR })
    .min(IDLE_MS.min, { error: IDLE_ERROR })
    .max(IDLE_MS.max, { error: IDLE_ERROR })
    .optional()
    .describe('An interactive job that no client is connected to ends after this. Default: 60 s.'),
  collect: z
    .array(pathSchema)
    .max(REQUEST_CAPS.collect, { error: `must be at most ${REQUEST_CAPS.collect} patterns` })
    .optional()
    .describe('Patterns (*, ?, **) of regular files to return.'),
  tests: z
    .array(testRequestSchema)
    .min(1, { error: 'must have a test' })
    .max(JUDGE_CAPS.tests, { error: `must be at most ${JUDGE_CAPS.tests} tests` })
    .optional()
    .describe('Makes a judge job: compiled once, run on each test in a box of its own.'),
  judge: judgeRequestSchema.optional(),
  grade: gradeRequestSchema.optional(),
  priority: z
    .number({ error: 'must be from 0 to 9' })
    .int({ error: 'must be from 0 to 9' })
    .min(0, { error: 'must be from 0 to 9' })
    .max(9, { error: 'must be from 0 to 9' })
    .optional()
    .describe('Within the tenant; 9 first.'),
  callback: callbackRequestSchema.optional().describe('To be told when the job has ended.'),
  metadata: metadataSchema.optional().describe('Returned as given.'),
});

export type JobRequest = z.output<typeof jobRequestSchema>;
/** As a client writes it. */
export type JobRequestInput = z.input<typeof jobRequestSchema>;
