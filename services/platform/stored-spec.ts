/** A spec as it lies in Redis: with the trace of the request that brought it. */
import { z } from 'zod';
import { jobSpecSchema, type JobSpec } from '../contract/job-spec.js';

const originSchema = z.strictObject({
  /** W3C Trace Context of the request; null when it is not recorded. */
  traceparent: z.string().nullable(),
});

const storedSpecSchema = z.strictObject({ origin: originSchema, spec: jobSpecSchema });

export type Origin = z.infer<typeof originSchema>;

export function encodeSpec(spec: JobSpec, origin: Origin): string {
  return JSON.stringify({ origin, spec });
}

/** Throws at what is missing or was written by another version. */
export function decodeSpec(text: string | null): z.infer<typeof storedSpecSchema> {
  return storedSpecSchema.parse(JSON.parse(text ?? 'null'));
}
