import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import { readyBoxes, runInBox, startTestSandbox, storedImages } from '../helpers/boxes.js';
import { eventually } from '../helpers/eventually.js';

const POOL_BOXES = 2;

describe('the pool of ready boxes', () => {
  let sandbox: NativeSandbox;

  beforeAll(async () => {
    const layerPaths = storedImages().find(({ name }) => name === 'base')?.layerPaths ?? [];
    sandbox = await startTestSandbox({
      poolBoxes: POOL_BOXES,
      images: [
        { name: 'kept', layerPaths, keepReady: true },
        { name: 'rare', layerPaths },
        { name: 'never', layerPaths },
      ],
    });
  });

  afterAll(() => sandbox.stop());

  it('holds boxes of images that are kept ready, and of those that are in use', async () => {
    await eventually(() => readyBoxes(sandbox) === POOL_BOXES);
    await sleep(100);
    expect(readyBoxes(sandbox)).toBe(POOL_BOXES);
    const { outcome } = await runInBox(sandbox, { image: 'rare', argv: ['true'] });
    expect(outcome).toBe('exited');
    await eventually(() => readyBoxes(sandbox) === 2 * POOL_BOXES);
    await sleep(100);
    expect(readyBoxes(sandbox)).toBe(2 * POOL_BOXES);
  });
});
