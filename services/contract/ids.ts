/**
 * Ids are UUIDv4s (122 random bits) written as 26 characters of lower-case base32, with a prefix that
 * tells what they name. They map both ways to the UUIDs other systems use as tokens.
 */
import { z } from 'zod';

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';
const ID_CHARS = 26;

export type JobId = `job_${string}`;
export type TaskId = `task_${string}`;

export const jobIdSchema = z
  .string()
  .regex(/^job_[a-z2-7]{26}$/, { error: 'must be job_ and 26 characters of a-z2-7' });

export function newJobId(): JobId {
  return `job_${uuidToBase32(globalThis.crypto.randomUUID())}`;
}

/** The tasks of a job are numbered from 1. The scripts name them the same way. */
export function taskIdOf(jobId: string, number: number): TaskId {
  return `task_${jobId.slice('job_'.length)}-${number}`;
}

export function jobIdOfTask(taskId: string): string {
  return `job_${taskId.slice('task_'.length).replace(/-\d+$/, '')}`;
}

export type TenantId = `ten_${string}`;

export function newTenantId(): TenantId {
  return `ten_${uuidToBase32(globalThis.crypto.randomUUID())}`;
}

export function uuidToBase32(uuid: string): string {
  const hex = uuid.replaceAll('-', '');
  if (!/^[0-9a-f]{32}$/i.test(hex)) throw new Error('not a UUID');
  // 128 bits are 25 characters of five bits and three bits more: pad on the right to 130.
  let bits = BigInt(`0x${hex}`) << 2n;
  let text = '';
  for (let i = 0; i < ID_CHARS; i += 1) {
    text = ALPHABET.charAt(Number(bits & 31n)) + text;
    bits >>= 5n;
  }
  return text;
}

export function base32ToUuid(text: string): string {
  if (text.length !== ID_CHARS) throw new Error('not an id');
  let bits = 0n;
  for (const char of text) {
    const value = ALPHABET.indexOf(char);
    if (value < 0) throw new Error('not an id');
    bits = (bits << 5n) | BigInt(value);
  }
  if ((bits & 3n) !== 0n) throw new Error('not an id');
  const hex = (bits >> 2n).toString(16).padStart(32, '0');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-');
}
