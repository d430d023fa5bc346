import { describe, expect, it } from 'vitest';
import { createCores } from '../../workers/executor/judge/cores.js';

const settled = async (promise: Promise<unknown>): Promise<boolean> =>
  await Promise.race([promise.then(() => true), new Promise<false>((r) => setImmediate(r, false))]);

describe('cores', () => {
  it('are given to as many as there are, then in turn, each back once', async () => {
    const cores = createCores(2);
    const { signal } = new AbortController();
    const first = await cores.take(signal);
    await cores.take(signal);
    const third = cores.take(signal);
    const fourth = cores.take(signal);
    expect(await settled(third)).toBe(false);
    first();
    first();
    expect(await settled(third)).toBe(true);
    expect(await settled(fourth)).toBe(false);
    (await third)();
    await fourth;
  });

  it('are not kept for who has stopped waiting', async () => {
    const cores = createCores(1);
    const held = await cores.take(new AbortController().signal);
    const controller = new AbortController();
    const gone = cores.take(controller.signal);
    const next = cores.take(new AbortController().signal);
    controller.abort();
    await expect(gone).rejects.toThrow('stopped');
    held();
    await next;
    await expect(cores.take(controller.signal)).rejects.toThrow();
  });
});
