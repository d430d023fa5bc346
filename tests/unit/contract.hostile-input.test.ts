/** Whatever comes: a request is parsed or refused, never thrown at; what is accepted stays where it belongs. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseJobRequest } from '../../services/contract/job-spec.js';
import { decodeCollected, encodeFiles } from '../../workers/executor/native-archives.js';
import { planTask } from '../../workers/executor/plan-task.js';

const part = fc.oneof(
  fc.constantFrom('..', '.', '', '/', 'box', 'tmp', 'etc', '*', '**', '\0', '\ud800', '__proto__'),
  fc.string({ maxLength: 8 }),
);
const path = fc.array(part, { maxLength: 6 }).map((parts) => parts.join('/'));

function isInside(name: string): boolean {
  const clean = !name.includes('\0') && !name.split('/').includes('..');
  return clean && ['/box', '/tmp'].some((directory) => name.startsWith(`${directory}/`));
}

function decodeBuffer(archive: Buffer) {
  return decodeCollected((at, bytes) => archive.subarray(at, at + bytes), archive.length);
}

describe('hostile input', () => {
  it('is answered, whatever JSON it is', () => {
    const value = fc.oneof(
      fc.jsonValue(),
      fc.record({ language: fc.jsonValue(), source: fc.jsonValue() }),
    );
    fc.assert(
      fc.property(value, (body) => {
        const parsed = parseJobRequest(body);
        if (!parsed.ok) expect(parsed.issues.length).toBeGreaterThan(0);
      }),
      { numRuns: 500 },
    );
  });

  it('names no path outside the work directories, from the request to the plan', () => {
    fc.assert(
      fc.property(path, path, fc.option(path, { nil: undefined }), (file, pattern, cwd) => {
        const parsed = parseJobRequest({
          language: 'python',
          source: '',
          files: [{ path: file, content: '' }],
          collect: [pattern],
          ...(cwd === undefined ? {} : { cwd }),
        });
        if (!parsed.ok) return;
        const plan = planTask(parsed.job.spec);
        for (const { path: name } of plan.files) expect(isInside(name), name).toBe(true);
        for (const name of plan.collect?.patterns ?? []) expect(isInside(name), name).toBe(true);
        expect(isInside(`${plan.steps[0].spec.cwd}/x`)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  it('from a box is decoded or refused, and never read beyond its end', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          const { files } = decodeBuffer(Buffer.from(bytes));
          const sum = files.reduce((total, file) => total + file.bytes, 0);
          expect(sum).toBeLessThanOrEqual(bytes.length);
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('that is cut off from an archive is refused', () => {
    const whole = encodeFiles([{ path: '/box/a', mode: 0, content: Buffer.from('content') }]);
    expect(decodeBuffer(whole).files).toHaveLength(1);
    for (let length = 1; length < whole.length; length++) {
      expect(() => decodeBuffer(whole.subarray(0, length)), String(length)).toThrow(RangeError);
    }
  });
});
