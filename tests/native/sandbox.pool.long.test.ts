import { afterAll, beforeAll, describe, it } from 'vitest';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import { readyBoxes, runInBox, startTestSandbox, storedImages } from '../helpers/boxes.js';
import { eventually } from '../helpers/eventually.js';

const POOL_BOXES = 2;

describe('the pool of ready boxes, after a while', () => {
  let sandbox: NativeSandbox;

  beforeAll(async () => {
    const layerPaths = storedImages().find(({ name }) => name === 'base')?.layerPaths ?? [];
    sandbox = await startTestSandbox({
      poolBoxes: POOL_BOXES,
      images: [
        { name: 'kept', layerPaths, keepReady: true },
        { name: 'rare', layerPaths },
      ],
    });
  });

  afterAll(() => sandbox.stop());

  it('gives up those of an image that nobody has used for half a minute', async () => {
    await runInBox(sandbox, { image: 'rare', argv: ['true'] });
    await eventually(() => readyBoxes(sandbox) === 2 * POOL_BOXES);
    await eventually(() => readyBoxes(sandbox) === POOL_BOXES, 40_000);
  });
});
