import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  contentBytes,
  contentIssue,
  decodeContent,
  encodeContent,
  isStrictBase64,
} from '../../services/contract/encoding.js';
import { SandboxFault, toFault } from '../../services/contract/faults.js';
import {
  base32ToUuid,
  jobIdSchema,
  newJobId,
  taskIdOf,
  uuidToBase32,
} from '../../services/contract/ids.js';
import { PROBLEM_CODES, PROBLEMS } from '../../services/contract/problems.js';

describe('content', () => {
  it('comes back byte by byte, and as text wherever it is text', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const content = encodeContent(bytes);
        expect(contentIssue(content)).toBeNull();
        expect(contentBytes(content)).toBe(bytes.length);
        expect(new Uint8Array(decodeContent(content))).toEqual(bytes);
      }),
    );
    expect(encodeContent(Buffer.from('\ufeffhéllo\0'))).toEqual({
      content: '\ufeffhéllo\0',
      encoding: 'utf8',
    });
    expect(encodeContent(Uint8Array.of(0xff))).toEqual({ content: '/w==', encoding: 'base64' });
  });

  it('is base64 in exactly one way', () => {
    fc.assert(
      fc.property(fc.base64String(), (text) => {
        expect(isStrictBase64(text)).toBe(Buffer.from(text, 'base64').toString('base64') === text);
      }),
    );
    for (const text of [
      'A',
      'AA',
      'AAA',
      'AA=',
      'A===',
      '=AAA',
      'AA==AA==',
      'AA\n=',
      'QR==',
      '-_-_',
    ]) {
      expect(isStrictBase64(text), text).toBe(false);
    }
    expect(isStrictBase64('A'.repeat(16 * 1024 * 1024))).toBe(true);
  });
});

describe('ids', () => {
  it('map to UUIDs and back', () => {
    for (let i = 0; i < 100; i += 1) {
      const uuid = randomUUID();
      expect(base32ToUuid(uuidToBase32(uuid))).toBe(uuid);
    }
    expect(uuidToBase32('00000000-0000-0000-0000-000000000000')).toBe('a'.repeat(26));
    expect(uuidToBase32('ffffffff-ffff-ffff-ffff-ffffffffffff')).toBe(`${'7'.repeat(25)}4`);
    for (const wrong of ['', 'a'.repeat(25), `${'a'.repeat(25)}b`, 'A'.repeat(26)]) {
      expect(() => base32ToUuid(wrong)).toThrow('not an id');
    }
  });

  it('have a shape of their own', () => {
    expect(jobIdSchema.safeParse(newJobId()).success).toBe(true);
    expect(jobIdSchema.safeParse(taskIdOf(newJobId(), 1)).success).toBe(false);
    expect(newJobId()).not.toBe(newJobId());
  });
});

describe('faults and problems', () => {
  it('makes a fault of whatever was thrown, and keeps what is known', () => {
    const cause = new Error('deep');
    const thrown = new SandboxFault({ stage: 'overlay', errno: 28, detail: 'full' }, { cause });
    expect(thrown.cause).toBe(cause);
    expect(toFault(thrown)).toEqual({
      stage: 'overlay',
      errno: 28,
      detail: 'full',
      retryable: true,
    });
    expect(toFault(new Error('oops'))).toMatchObject({ stage: 'executor', detail: 'oops' });
    expect(toFault('text').detail).toBe('text');
    expect(toFault(new Error('x'.repeat(9_999))).detail).toHaveLength(2_000);
  });

  it.each(PROBLEM_CODES)('%s is a refusal, and says when to come back if that helps', (code) => {
    const problem: { status: number; retryAfterSeconds?: number } = PROBLEMS[code];
    expect(problem.status).toBeGreaterThanOrEqual(400);
    const comesBack = problem.status === 429 || problem.status === 503;
    expect(problem.retryAfterSeconds !== undefined).toBe(comesBack);
  });
});
