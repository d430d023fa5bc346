import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attackProgram, createRange, describeAttacks, type Range } from '../helpers/attacks.js';
import { openBox, runInBox, stepOf } from '../helpers/boxes.js';
import { HOST_PORT, reachOthers } from './reach-others.attacks.js';

const tcp = createServer((socket) => socket.destroy());
const udp = createSocket('udp4');

beforeAll(async () => {
  await new Promise<void>((resolve) => tcp.listen(HOST_PORT, '::', resolve));
  await new Promise<void>((resolve) => udp.bind(HOST_PORT, '127.0.0.1', resolve));
});
afterAll(() => {
  tcp.close();
  udp.close();
});

describeAttacks('reach others', reachOthers);

/** What one step leaves, for the next of the same box: the control of "not for the next job". */
describe('reach what was before', () => {
  let range: Range;
  beforeAll(() => {
    range = createRange();
  });
  afterAll(() => range.stop());

  async function twoSteps(weak: boolean, first: string[], second: string[]): Promise<string> {
    const sandbox = await range.sandbox(weak ? ['leftovers'] : []);
    const box = await openBox(sandbox);
    try {
      await box.put([{ path: '/box/attacks', mode: 0o755, content: attackProgram() }]);
      let said = '';
      for (const attack of [first, second]) {
        said = '';
        const limits = { wallTimeMs: 2_000 };
        await box.step(stepOf({ argv: ['/box/attacks', ...attack], limits }), (_stream, chunk) => {
          said += chunk.toString();
        });
      }
      return said;
    } finally {
      await box.close();
    }
  }

  it.each([
    ['a process', ['leave_process'], ['see_process']],
    ['a process without streams', ['leave_process', 'closed'], ['see_process']],
    ['shared memory', ['victim_ipc', 'leave'], ['see_ipc', 'shm']],
    ['a message queue', ['victim_ipc', 'leave'], ['see_ipc', 'msg']],
    ['semaphores', ['victim_ipc', 'leave'], ['see_ipc', 'sem']],
  ])('cannot leave %s to the next step', async (_what, first, second) => {
    expect(await twoSteps(true, first, second), 'the control run').toMatch(/^harm: /m);
    expect(await twoSteps(false, first, second)).toMatch(/^held: /m);
  });

  it.each(['/box/left', '/tmp/left', '/dev/shm/left', '/var/tmp/left'])(
    'cannot leave %s to the next job, only to the next step',
    async (path) => {
      const write = ['bash', '-c', `echo secret > ${path}`];
      const read = ['cat', path];
      const sandbox = await range.sandbox([]);
      const box = await openBox(sandbox);
      try {
        let said = '';
        await box.step(stepOf({ argv: write }), () => undefined);
        await box.step(stepOf({ argv: read }), (_stream, chunk) => (said += chunk.toString()));
        expect(said, 'the control run').toBe('secret\n');
      } finally {
        await box.close();
      }
      expect((await runInBox(sandbox, { argv: read })).stdout).toBe('');
    },
  );
});
