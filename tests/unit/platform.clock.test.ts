import { describe, expect, it } from 'vitest';
import { createOffset, epochMs, epochMsOf } from '../../services/platform/clock.js';

describe('the difference of two clocks', () => {
  const DIFFERENCE_MS = 1_764_000_000_000.25;

  function looks(offset: ReturnType<typeof createOffset>, count: number, differenceMs: number) {
    for (let i = 0; i < count; i += 1) {
      // A step that is no part of a millisecond comes by at every phase of one.
      const at = 5_000 + i * 7.31;
      offset.look(at - 0.01, Math.floor(at + differenceMs), at + 0.01);
    }
  }

  it('is known to a hundredth of a millisecond from whole ones', () => {
    const offset = createOffset();
    looks(offset, 1, DIFFERENCE_MS);
    expect(Math.abs(offset.ms() - DIFFERENCE_MS)).toBeLessThan(0.52);
    looks(offset, 500, DIFFERENCE_MS);
    expect(Math.abs(offset.ms() - DIFFERENCE_MS)).toBeLessThan(0.02);
  });

  it('is found out anew when a clock has been set, by however little', () => {
    const offset = createOffset();
    looks(offset, 500, DIFFERENCE_MS);
    for (const setMs of [0.3, 3_600_000, -86_400_000]) {
      looks(offset, 500, DIFFERENCE_MS + setMs);
      expect(Math.abs(offset.ms() - DIFFERENCE_MS - setMs)).toBeLessThan(0.02);
    }
  });
});

describe('the time of day', () => {
  it('agrees with that in whole milliseconds, and with the monotonic clock', () => {
    const before = Date.now();
    const now = epochMs();
    const of = epochMsOf(Number(process.hrtime.bigint() / 1_000n));
    const after = Date.now();
    expect(now).toBeGreaterThan(before - 1);
    expect(now).toBeLessThan(after + 2);
    expect(of).toBeGreaterThanOrEqual(now - 0.5);
    expect(of).toBeLessThan(after + 2);
  });
});
