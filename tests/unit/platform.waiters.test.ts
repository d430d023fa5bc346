import { EventEmitter } from 'node:events';
import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { createLogger } from '../../services/platform/logger.js';
import { LiveRunHost } from '../../services/platform/live-run.js';
import { createRunning } from '../../services/platform/running.js';
import { createWaiters } from '../../services/platform/waiters.js';
import { eventually } from '../helpers/eventually.js';

/** Only what the waiters use of a subscriber; what Redis does with it, the integration tests show. */
function fakeSubscriber() {
  const emitter = Object.assign(new EventEmitter(), {
    status: 'connecting',
    subscribe: () => Promise.resolve(1),
  });
  return { emitter, redis: emitter as unknown as Redis };
}

function setUp(ended: Set<string>, recheckMs = 60_000) {
  const { emitter, redis } = fakeSubscriber();
  const waiters = createWaiters({
    subscriber: redis,
    channel: 'mine',
    readEnded: (ids) => Promise.resolve(ids.filter((id) => ended.has(id))),
    logger: createLogger('test', 'silent'),
    recheckMs,
  });
  return { emitter, waiters };
}

async function took(work: Promise<unknown>): Promise<number> {
  const start = Date.now();
  await work;
  return Date.now() - start;
}

describe('a waiter', () => {
  it('is refused while there are as many as there may be, and has its place back after', () => {
    const { redis } = fakeSubscriber();
    const waiters = createWaiters({
      subscriber: redis,
      channel: 'mine',
      readEnded: () => Promise.resolve([]),
      logger: createLogger('test', 'silent'),
      waitersMax: 2,
    });
    const first = waiters.register('a');
    waiters.register('a');
    expect(() => waiters.register('b')).toThrow('Too many requests wait');
    first.release();
    first.release();
    waiters.register('b');
    expect(() => waiters.register('c')).toThrow('Too many requests wait');
    waiters.close();
  });

  it('is woken by its own job on its own channel, and by nothing else', async () => {
    const { emitter, waiters } = setUp(new Set());
    const [a, b] = [waiters.register('a'), waiters.register('b')];
    const waits = Promise.all([took(a.ended(5_000)), took(b.ended(100))]);
    emitter.emit('message', 'other', 'b');
    emitter.emit('message', 'mine', 'a');
    const [first, second] = await waits;
    expect(first).toBeLessThan(90);
    expect(second).toBeGreaterThanOrEqual(95);
    a.release();
    b.release();
    expect(waiters.count()).toBe(0);
    waiters.close();
  });

  it('does not miss an end that was told before it began to wait', async () => {
    const { emitter, waiters } = setUp(new Set());
    const waiter = waiters.register('a');
    emitter.emit('message', 'mine', 'a');
    expect(await took(waiter.ended(5_000))).toBeLessThan(1_000);
    waiters.close();
  });

  it('is handed what its end was told with, and nothing of the end of another', async () => {
    const { emitter, waiters } = setUp(new Set());
    const [a, b] = [waiters.register('a'), waiters.register('b')];
    emitter.emit('message', 'other', 'a {"not": "mine"}');
    emitter.emit('message', 'mine', 'b');
    emitter.emit('message', 'mine', 'a {"of": "a job"}');
    expect(await a.ended(5_000)).toBe('{"of": "a job"}');
    expect(await b.ended(5_000)).toBeNull();
    waiters.close();
  });

  it('is found by reading again: after a subscription, and every now and then', async () => {
    const ended = new Set<string>();
    const { emitter, waiters } = setUp(ended, 20);
    const waiter = waiters.register('a');
    const wait = took(waiter.ended(5_000));
    ended.add('a');
    expect(await wait).toBeLessThan(1_000);
    const other = waiters.register('b');
    ended.add('b');
    emitter.emit('ready');
    expect(await took(other.ended(5_000))).toBeLessThan(1_000);
    waiters.close();
  });

  it('goes when the service stops, even one that comes late', async () => {
    const { waiters } = setUp(new Set());
    const early = took(waiters.register('a').ended(5_000));
    waiters.close();
    expect(await early).toBeLessThan(1_000);
    expect(await took(waiters.register('b').ended(5_000))).toBeLessThan(1_000);
  });
});

describe('a run that is held', () => {
  const publish = () => Promise.resolve(0);
  const silent = new LiveRunHost({ run: 1, publish, logger: createLogger('test', 'silent') });
  const run = { jobId: 'j', taskId: 't', runToken: 'x', run: 1, live: silent };

  it('hears once why it has to stop; but a lost lease is lost', () => {
    const running = createRunning();
    const handle = running.add(run);
    running.stop('other', 'cancel');
    expect(handle.signal.aborted).toBe(false);
    running.stop('x', 'cancel');
    running.stopAll('drain');
    expect([handle.signal.aborted, handle.stopReason()]).toEqual([true, 'cancel']);
    running.stop('x', 'fenced');
    expect(handle.stopReason()).toBe('fenced');
  });

  it('is waited for until it is removed', async () => {
    const running = createRunning();
    await running.idle();
    const handle = running.add(run);
    let idle = false;
    void running.idle().then(() => (idle = true));
    running.abandonAll();
    await expect(handle.abandoned).rejects.toThrow('did not stop in time');
    expect(idle).toBe(false);
    running.remove(handle);
    await eventually(() => idle);
  });
});
