/** What is said to an executor about a run that it holds, and what comes back. */
import { z } from 'zod';
import { testEventSchema } from './job.js';
import { LIMITS, type LimitName } from './limits.js';
import type { LimitsRequest } from './limits.js';

/** Limits of a job that can be changed while it runs. */
export const LIVE_LIMITS = [
  'memoryBytes',
  'cpus',
  'processes',
  'wallTimeMs',
  'cpuTimeMs',
] as const satisfies readonly LimitName[];

export type LiveLimitName = (typeof LIVE_LIMITS)[number];
export type LiveLimits = Pick<LimitsRequest, LiveLimitName>;

/** Signals that a client may send, with their numbers (the same on x86-64 and aarch64). */
export const SIGNALS = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGUSR2: 12,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGCONT: 18,
  SIGSTOP: 19,
  SIGTSTP: 20,
  SIGWINCH: 28,
} as const satisfies Record<`SIG${string}`, number>;

export type SignalName = keyof typeof SIGNALS;
export const SIGNAL_NAMES = Object.keys(SIGNALS) as [SignalName, ...SignalName[]];
export const signalNameSchema = z.enum(SIGNAL_NAMES, {
  error: `must be one of ${SIGNAL_NAMES.join(', ')}`,
});

const side = z
  .number({ error: 'must be from 1 to 1000' })
  .int({ error: 'must be from 1 to 1000' })
  .min(1, { error: 'must be from 1 to 1000' })
  .max(1_000, { error: 'must be from 1 to 1000' });

export const terminalSizeSchema = z.strictObject({ rows: side, columns: side });
export type TerminalSize = z.infer<typeof terminalSizeSchema>;

/** Most bytes of one piece of input; a program that does not read is given no more than a few. */
export const INPUT_BYTES_MAX = 65_536;

const count = z.number().int().nonnegative();

/** How far a reader has got. */
export const positionSchema = z.strictObject({
  run: count,
  step: count,
  stdout: count,
  stderr: count,
});
export type Position = z.infer<typeof positionSchema>;

export const START: Position = { run: 0, step: 0, stdout: 0, stderr: 0 };

/** What is done to the step that runs. */
const actionShapes = [
  z.strictObject({ kind: z.literal('freeze') }),
  z.strictObject({ kind: z.literal('thaw') }),
  z.strictObject({
    kind: z.literal('limits'),
    limits: z.strictObject({
      memoryBytes: z.number().positive().optional(),
      cpus: z.number().min(LIMITS.cpus.min).optional(),
      processes: z.number().positive().optional(),
      wallTimeMs: z.number().positive().optional(),
      cpuTimeMs: z.number().positive().optional(),
    }),
  }),
  z.strictObject({ kind: z.literal('input'), data: z.base64(), last: z.boolean() }),
  z.strictObject({ kind: z.literal('signal'), signal: signalNameSchema }),
  z.strictObject({ kind: z.literal('resize'), ...terminalSizeSchema.shape }),
] as const;

export const actionSchema = z.discriminatedUnion('kind', actionShapes);
export type Action = z.infer<typeof actionSchema>;

/** Messages of `{c0}:control:<executor>`. */
export const controlMessageSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('cancel'), runToken: z.string() }),
  /** Answered on `channel` by a reply with this id. */
  z.strictObject({
    kind: z.literal('act'),
    runToken: z.string(),
    channel: z.string(),
    id: z.string(),
    action: actionSchema,
  }),
  /** Sends what there is from `from` on, and then what comes, but no more than `credit` bytes. */
  z.strictObject({
    kind: z.literal('watch'),
    runToken: z.string(),
    channel: z.string(),
    listener: z.string(),
    from: positionSchema,
    credit: count,
  }),
  /** So many bytes more; with 0 the listener only says that it is still there. */
  z.strictObject({
    kind: z.literal('more'),
    runToken: z.string(),
    listener: z.string(),
    credit: count,
  }),
  z.strictObject({ kind: z.literal('unwatch'), runToken: z.string(), listener: z.string() }),
]);
export type ControlMessage = z.infer<typeof controlMessageSchema>;

/** Why an action was not carried out. */
export const ACTION_REFUSALS = {
  not_running: 'The job is not running.',
  not_interactive: 'The job is not interactive, or its program reads no more.',
  no_terminal: 'The job has no terminal.',
  input_full: 'The program has not read what it was given before.',
  memory_in_use: 'The job uses more memory than that.',
  frozen_too_long: 'The job has been frozen for as long as a job may be.',
} as const satisfies Record<string, string>;
export type ActionRefusal = keyof typeof ACTION_REFUSALS;

/** Messages of `{c0}:streams:<replica>`, from executors. */
export const replicaMessageSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('reply'),
    id: z.string(),
    refusal: z.enum(Object.keys(ACTION_REFUSALS) as [ActionRefusal]).nullable(),
  }),
  z.strictObject({
    kind: z.literal('step'),
    listener: z.string(),
    run: count,
    step: count,
    name: z.string(),
  }),
  z.strictObject({
    kind: z.literal('output'),
    listener: z.string(),
    run: count,
    step: count,
    stream: z.enum(['stdout', 'stderr']),
    offset: count,
    data: z.base64(),
  }),
  z.strictObject({ kind: z.literal('test'), listener: z.string(), test: testEventSchema }),
  /** From the scheduler's scripts: look at the job again. */
  z.strictObject({ kind: z.literal('changed'), jobId: z.string() }),
]);
export type ReplicaMessage = z.infer<typeof replicaMessageSchema>;
