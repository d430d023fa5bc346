import { describe, expect, it } from 'vitest';
import { createSlotGate, type SlotGate } from '../../services/platform/slot-gate.js';

const LONG_MS = 60_000;

/** Enters, and says what has begun and how to end it. */
function visitor(gate: SlotGate, turn = 0, begun: string[] = [], name = '') {
  const given: (() => void)[] = [];
  const entered = gate.enter(turn, (giveBack) => {
    begun.push(name);
    given.push(giveBack);
    return new Promise((resolve) => {
      given.push(resolve);
    });
  });
  return {
    entered,
    begun: () => given.length > 0,
    giveBack: () => given[0]?.(),
    end: () => given[1]?.(),
  };
}

describe('the gate before the slots', () => {
  it('lets in as many as there are slots, and the next within the call that gives one back', () => {
    const gate = createSlotGate(2, LONG_MS);
    const [first, second, third] = [visitor(gate), visitor(gate), visitor(gate)];
    expect([first, second, third].map(({ begun }) => begun())).toEqual([true, true, false]);
    first.giveBack();
    expect(third.begun()).toBe(true);
    expect(gate.taken()).toBe(2);
  });

  it('lets in the least turn first, and of the same who came first', () => {
    const gate = createSlotGate(1, LONG_MS);
    const begun: string[] = [];
    const all = [visitor(gate, 9, begun, 'runs')];
    for (const [name, turn] of [
      ['late', 3],
      ['first', 2],
      ['second', 2],
      ['newcomer', 1],
    ] as const) {
      all.push(visitor(gate, turn, begun, name));
    }
    for (const name of ['runs', 'newcomer', 'first', 'second', 'late']) {
      expect(begun.at(-1)).toBe(name);
      all.find((_, i) => name === ['runs', 'late', 'first', 'second', 'newcomer'][i])?.giveBack();
    }
    expect(gate.taken()).toBe(0);
  });

  it('counts a slot that is given back and then ended once', async () => {
    const gate = createSlotGate(2, LONG_MS);
    const [first] = [visitor(gate), visitor(gate)];
    first.giveBack();
    first.giveBack();
    first.end();
    expect(await first.entered).toBe(true);
    expect(gate.taken()).toBe(1);
  });

  it('takes back the slot of work that failed', async () => {
    const gate = createSlotGate(1, LONG_MS);
    await expect(gate.enter(0, () => Promise.reject(new Error('broken')))).rejects.toThrow(
      'broken',
    );
    expect(gate.taken()).toBe(0);
  });

  it('turns away who waited too long, and does not count them', async () => {
    const gate = createSlotGate(1, 5);
    const first = visitor(gate);
    const second = visitor(gate);
    expect(await second.entered).toBe(false);
    first.giveBack();
    expect(second.begun()).toBe(false);
    expect(gate.taken()).toBe(0);
    expect(visitor(gate).begun()).toBe(true);
  });

  it('turns away everybody once it is closed', async () => {
    const gate = createSlotGate(1, LONG_MS);
    const first = visitor(gate);
    const waiting = visitor(gate);
    gate.close();
    expect(await waiting.entered).toBe(false);
    first.giveBack();
    expect(await visitor(gate).entered).toBe(false);
    expect(gate.taken()).toBe(0);
  });
});
