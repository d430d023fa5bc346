import { describe, expect, it } from 'vitest';
import { createBoxAhead } from '../../workers/executor/box-ahead.js';
import type { Box, BoxSpec } from '../../workers/executor/sandbox.js';

const spec = (diskBytes: number): BoxSpec => ({ image: 'base', layer: null, diskBytes, files: 1 });

/** Boxes that do nothing but note when they are closed. */
function createOpener() {
  const opened: Box[] = [];
  const closed: Box[] = [];
  return {
    opened,
    closed,
    openBox(): Promise<Box> {
      const box = {
        close: () => {
          closed.push(box);
          return Promise.resolve();
        },
      } as Box;
      opened.push(box);
      return Promise.resolve(box);
    },
  };
}

describe('boxes ahead', () => {
  it('hand out the box that was prepared, once', async () => {
    const opener = createOpener();
    const boxes = createBoxAhead(opener);
    boxes.prepare(spec(1));
    boxes.prepare(spec(1));
    expect(opener.opened).toHaveLength(1);
    expect(await boxes.openBox(spec(1))).toBe(opener.opened[0]);
    expect(await boxes.openBox(spec(1))).toBe(opener.opened[1]);
    expect(opener.closed).toEqual([]);
  });

  it('take away what turns out to be of another kind, or is not wanted any more', async () => {
    const opener = createOpener();
    const boxes = createBoxAhead(opener);
    boxes.prepare(spec(1));
    expect(await boxes.openBox(spec(2))).toBe(opener.opened[1]);
    expect(opener.closed).toEqual([opener.opened[0]]);
    boxes.prepare(spec(2));
    await boxes.close();
    await boxes.close();
    expect(opener.closed).toEqual([opener.opened[0], opener.opened[2]]);
  });

  it('say that a box cannot be made to whoever asks for it', async () => {
    const boxes = createBoxAhead({ openBox: () => Promise.reject(new Error('none')) });
    boxes.prepare(spec(1));
    await expect(boxes.openBox(spec(1))).rejects.toThrow('none');
    boxes.prepare(spec(1));
    await boxes.close();
  });
});
