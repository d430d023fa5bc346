import { describe, expect, it } from 'vitest';
import { createSlotGate } from '../../services/platform/slot-gate.js';

const LONG_MS = 60_000;

describe('the gate before the slots', () => {
  it('lets in as many as there are slots, and the next when one is given back', async () => {
    const gate = createSlotGate(2, LONG_MS);
    const first = await gate.enter();
    await gate.enter();
    let third: unknown = 'waits';
    const entering = gate.enter().then((giveBack) => (third = giveBack));
    await Promise.resolve();
    expect([gate.taken(), third]).toEqual([2, 'waits']);
    first?.();
    await entering;
    expect(third).toBeTypeOf('function');
    expect(gate.taken()).toBe(2);
  });

  it('counts a slot that is given back twice once', async () => {
    const gate = createSlotGate(2, LONG_MS);
    const giveBack = await gate.enter();
    await gate.enter();
    giveBack?.();
    giveBack?.();
    expect(gate.taken()).toBe(1);
  });

  it('turns away who waited too long, and does not count them', async () => {
    const gate = createSlotGate(1, 5);
    const giveBack = await gate.enter();
    expect(await gate.enter()).toBeNull();
    giveBack?.();
    expect(gate.taken()).toBe(0);
    expect(await gate.enter()).not.toBeNull();
  });

  it('turns away everybody once it is closed', async () => {
    const gate = createSlotGate(1, LONG_MS);
    const giveBack = await gate.enter();
    const waiting = gate.enter();
    gate.close();
    expect(await waiting).toBeNull();
    giveBack?.();
    expect(await gate.enter()).toBeNull();
    expect(gate.taken()).toBe(0);
  });
});
