/** What the scripts answer: a status, what it comes with, and what was admitted on the way. */
import { z } from 'zod';
import type { CallbackRequest } from '../contract/callback.js';
import { taskPartSchema, WHOLE, type NextParts, type TaskPart } from '../contract/task.js';

/** What BullMQ carries: a task under one admission. */
export interface Delivery {
  readonly pool: string;
  readonly taskId: string;
  readonly admission: number;
}

export interface Submission {
  readonly jobId: string;
  readonly tenantId: string;
  /** Those that may be used where the tenant's plan names none; the first that serves the image is it. */
  readonly pools: readonly string[];
  readonly priority: number;
  /** The most CPUs any step may use: what a slot is charged by. */
  readonly cpus: number;
  readonly channel: string;
  readonly language: string;
  readonly image: string;
  readonly metadata: string;
  readonly spec: string;
  /** `<digest of the key> <digest of the body>`, where a key was given. */
  readonly idempotency?: string;
  readonly callback?: CallbackRequest | null;
  /** Its first tasks; the whole job is one by default. */
  readonly first?: NextParts;
}

export type SubmitReply =
  | { readonly status: 'ok'; readonly createdAtMs: number; readonly admitted: Delivery[] }
  | { readonly status: 'replay'; readonly jobId: string }
  | { readonly status: 'full' | 'no-image' | 'other-body' | 'expired' };

export type ClaimReply =
  | {
      readonly status: 'go';
      readonly run: number;
      readonly jobId: string;
      readonly tenantId: string;
      readonly part: TaskPart;
      /** When it entered the backlog, and when it was given a slot. */
      readonly queuedAtMs: number;
      readonly admittedAtMs: number;
    }
  | { readonly status: 'gone' | 'stale' | 'ended'; readonly admitted: Delivery[] };

export interface SettleReply {
  readonly status: 'ok' | 'fenced';
  /** By Redis' clock, in whole milliseconds: were it the last task, its job's `finishedAt`. Null when fenced. */
  readonly settledAtMs: number | null;
  readonly admitted: Delivery[];
}

export interface RequeueReply {
  readonly status: 'queued' | 'failed' | 'cancelled' | 'fenced';
  readonly admitted: Delivery[];
  /** Before it is over, a requeued task is not admitted. */
  readonly delayMs: number;
}

export interface CancelReply {
  readonly status: 'missing' | 'final' | 'cancelling' | 'cancelled';
  readonly admitted: Delivery[];
}

/** A run as whoever talks to it finds it. */
export interface RunHolder {
  readonly executorId: string;
  readonly runToken: string;
  readonly run: number;
}

export type LocateReply =
  | { readonly status: 'missing' }
  | { readonly status: 'final' }
  | {
      readonly status: 'queued' | 'running';
      /** Runs so far. */
      readonly run: number;
      readonly holders: readonly RunHolder[];
    };

export interface AnnounceReply {
  readonly stop: { readonly runToken: string; readonly reason: 'cancel' | 'fenced' }[];
  readonly admitted: Delivery[];
}

/** A run, as its holder names it. */
export interface Holder {
  readonly jobId: string;
  readonly taskId: string;
  readonly runToken: string;
}

const strings = z.array(z.string());
const time = z.coerce.number();

export function parseDelivery(text: string): Delivery {
  const match = /^(\S+) (\S+)\.(\d+)$/.exec(text);
  if (match?.[1] === undefined || match[2] === undefined) throw new Error('not a delivery');
  return { pool: match[1], taskId: match[2], admission: Number(match[3]) };
}

/** In the records the whole job is the empty string, since most tasks are that. */
export function formatPart(part: TaskPart): string {
  return part.kind === 'whole' ? '' : JSON.stringify(part);
}

export function parsePart(text: string): TaskPart {
  return text === '' ? WHOLE : taskPartSchema.parse(JSON.parse(text));
}

export function parseDeliveries(reply: unknown): Delivery[] {
  return strings.parse(reply).map(parseDelivery);
}

/** A status that is not known is a bug, never a success. */
export function parseReply<S extends string>(reply: unknown, statuses: readonly S[]) {
  const [first, ...rest] = strings.parse(reply);
  const status = statuses.find((known) => known === first);
  if (status === undefined) throw new Error(`a script answered ${String(first)}`);
  return { status, rest };
}

export function parseSettled(reply: unknown): SettleReply {
  const { status, rest } = parseReply(reply, ['ok', 'fenced']);
  if (status === 'fenced') return { status, settledAtMs: null, admitted: [] };
  const [at, ...admitted] = rest;
  const settledAtMs = Math.floor(time.parse(at));
  return { status, settledAtMs, admitted: admitted.map(parseDelivery) };
}
