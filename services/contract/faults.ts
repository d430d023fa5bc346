/**
 * A fault: the sandbox or the platform failed, and the program has nothing to do with it. Faults are
 * thrown, retried by requeueing, and never shown as an outcome. After the last run the job is `failed`.
 */
import { z } from 'zod';

/** Runs of one task before its fault becomes the job's: the first and three more. */
export const RUNS_MAX = 4;

/** Stages named above the native supervisor, whose own stage names are passed through as they are. */
export const STAGES = {
  executor: 'Something unexpected in the executor.',
  supervisor: 'The supervisor process is gone.',
  lost: 'The executor that ran the task died or stopped answering.',
  drain: 'The executor was stopped before the task was done.',
} as const satisfies Record<string, string>;

export const faultSchema = z.strictObject({
  stage: z.string().min(1).max(64),
  errno: z.number().int().nullable(),
  detail: z.string().max(2_000),
  retryable: z.boolean(),
});

export type Fault = z.infer<typeof faultSchema>;

/** What the executor throws; carries a Fault and keeps its cause. */
export class SandboxFault extends Error implements Fault {
  readonly stage: string;
  readonly errno: number | null;
  readonly detail: string;
  readonly retryable: boolean;

  constructor(
    fault: {
      readonly stage: string;
      readonly errno?: number | null;
      readonly detail: string;
      readonly retryable?: boolean;
    },
    options?: ErrorOptions,
  ) {
    super(`${fault.stage}: ${fault.detail}`, options);
    this.name = 'SandboxFault';
    this.stage = fault.stage;
    this.errno = fault.errno ?? null;
    this.detail = fault.detail.slice(0, 2_000);
    this.retryable = fault.retryable ?? true;
  }
}

/** The plain form of whatever was thrown: what is not a SandboxFault is a fault of the executor. */
export function toFault(thrown: unknown): Fault {
  if (thrown instanceof SandboxFault) {
    return {
      stage: thrown.stage,
      errno: thrown.errno,
      detail: thrown.detail,
      retryable: thrown.retryable,
    };
  }
  const detail = thrown instanceof Error ? thrown.message : String(thrown);
  return { stage: 'executor', errno: null, detail: detail.slice(0, 2_000), retryable: true };
}
