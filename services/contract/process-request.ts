/** The part of a job request that makes it a graph: processes that run at the same time, and pipes between them. */
import { z } from 'zod';
import { encodingSchema } from './encoding.js';
import { limitsRequestSchema } from './limits.js';
import { argumentSchema, contentSchema, envSchema, fileSchema } from './request-parts.js';

/** Boxes that one task may have at a time: what the processes of a job, or a test with its interactor, come to. */
export const PROCESSES_MAX = 4;

export const PIPE_CAPS = {
  pipes: 16,
  /** Ends at one process (mayfly.h, MAYFLY_JOINED_MAX). */
  ends: 8,
  descriptor: 15,
} as const;

export const nameSchema = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,64}$/, { error: 'must be 1 to 64 characters of A-Za-z0-9_-' });

export const processRequestSchema = z.strictObject({
  name: nameSchema,
  argv: z.array(argumentSchema).min(1, { error: 'must name a command' }),
  stdin: contentSchema.optional(),
  stdinEncoding: encodingSchema.optional(),
  env: envSchema.optional(),
  files: z
    .array(fileSchema)
    .optional()
    .describe('Beside the files of the job; no other sees them.'),
  limits: limitsRequestSchema().optional(),
});

function endSchema(standard: 0 | 1, allowed: string, isAllowed: (descriptor: number) => boolean) {
  const error = `must be ${allowed}`;
  return z.strictObject({
    process: z.string(),
    descriptor: z
      .number({ error })
      .int({ error })
      .refine((descriptor) => isAllowed(descriptor) && descriptor <= PIPE_CAPS.descriptor, {
        error,
      })
      .optional()
      .describe(`Default: ${standard}.`),
  });
}

export const pipeRequestSchema = z.strictObject({
  from: endSchema(1, '1 to 15', (descriptor) => descriptor >= 1),
  to: endSchema(0, '0, or 3 to 15', (descriptor) => descriptor === 0 || descriptor >= 3),
  transcript: z
    .boolean()
    .optional()
    .describe('Of a standard output: what goes through is returned as such, and limited as such.'),
});

export const processesSchema = z
  .array(processRequestSchema)
  .min(2, { error: 'must be at least 2 processes' })
  .max(PROCESSES_MAX, { error: `must be at most ${PROCESSES_MAX} processes` });

export const pipesSchema = z
  .array(pipeRequestSchema)
  .max(PIPE_CAPS.pipes, { error: `must be at most ${PIPE_CAPS.pipes} pipes` });

export type ProcessRequest = z.output<typeof processRequestSchema>;
export type PipeRequest = z.output<typeof pipeRequestSchema>;
