import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { oneAtATime, tick, untilTick } from '../../services/platform/ticks.js';
import { eventually } from '../helpers/eventually.js';

describe('ticks', () => {
  it('come at the multiples of their period, which are the same in all processes', () => {
    for (const nowMs of [0, 1, 400, 500, 501, 999, 12_345.25]) {
      const left = untilTick(1_000, nowMs);
      expect((nowMs + left) % 1_000).toBe(0);
      expect(left).toBeGreaterThanOrEqual(500);
      expect(left).toBeLessThan(1_500);
    }
  });

  it('come once when the timer was a little early', () => {
    expect(untilTick(1_000, 1_999.5)).toBe(1_000.5);
  });

  it('go on until they are ended', async () => {
    let count = 0;
    const end = tick(20, () => (count += 1));
    await eventually(() => count >= 4);
    end();
    const before = count;
    await sleep(60);
    expect(count).toBe(before);
  });
});

describe('one at a time', () => {
  it('runs once more for all who asked meanwhile', async () => {
    const ends: (() => void)[] = [];
    const run = oneAtATime(() => new Promise((resolve) => ends.push(resolve)));
    const first = run();
    await Promise.all([run(), run(), run()]);
    expect(ends).toHaveLength(1);
    ends[0]?.();
    await eventually(() => ends.length === 2);
    ends[1]?.();
    await first;
    expect(ends).toHaveLength(2);
  });

  it('can be asked again after it failed', async () => {
    let calls = 0;
    const run = oneAtATime(() => {
      calls += 1;
      return calls === 1 ? Promise.reject(new Error('the first')) : Promise.resolve();
    });
    await expect(run()).rejects.toThrow('the first');
    await run();
    expect(calls).toBe(2);
  });
});
