import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { START, type ReplicaMessage } from '../../services/contract/control.js';
import { LiveRunHost } from '../../services/platform/live-run.js';
import { createLogger } from '../../services/platform/logger.js';
import { createOutput } from '../../workers/executor/step-result.js';

const CHANNEL = 'c';
const WATCH = { kind: 'watch', runToken: 't', channel: CHANNEL, listener: 'l' } as const;

function createRun(receivers = 1) {
  const sent: ReplicaMessage[] = [];
  const run = new LiveRunHost({
    run: 1,
    publish(_channel, text) {
      sent.push(JSON.parse(text) as ReplicaMessage);
      return Promise.resolve(receivers);
    },
    logger: createLogger('test', 'silent'),
  });
  const output = createOutput(() => run.wrote());
  const text = (stream: string): string =>
    sent
      .filter((message) => message.kind === 'output' && message.stream === stream)
      .map((message) =>
        message.kind === 'output' ? Buffer.from(message.data, 'base64').toString() : '',
      )
      .join('');
  return { run, output, sent, text };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a run that is watched', () => {
  it('sends at once what comes after a pause, and together what comes in quick succession', () => {
    const { run, output, sent, text } = createRun();
    run.stepBegins('run', output);
    run.take({ ...WATCH, from: START, credit: 1_000 });
    vi.advanceTimersByTime(100);
    output.add('stdout', Buffer.from('a'));
    expect(text('stdout')).toBe('a');
    const before = sent.length;
    for (const letter of 'bcdef') output.add('stdout', Buffer.from(letter));
    expect(sent).toHaveLength(before);
    vi.advanceTimersByTime(20);
    expect(sent).toHaveLength(before + 1);
    expect(text('stdout')).toBe('abcdef');
  });

  it('starts wherever the listener is, and goes from step to step', () => {
    const { run, output, sent, text } = createRun();
    run.stepBegins('one', output);
    output.add('stdout', Buffer.from('first'));
    output.add('stderr', Buffer.from('error'));
    run.take({ ...WATCH, from: { run: 1, step: 0, stdout: 3, stderr: 0 }, credit: 1_000 });
    expect([text('stdout'), text('stderr')]).toEqual(['st', 'error']);
    const second = createOutput(() => run.wrote());
    run.stepBegins('two', second);
    second.add('stdout', Buffer.from('second'));
    run.close();
    expect(text('stdout')).toBe('stsecond');
    expect(sent.filter(({ kind }) => kind === 'step')).toMatchObject([{ step: 1, name: 'two' }]);
  });

  it('starts anew for who has heard another run', () => {
    const { run, output, text } = createRun();
    run.stepBegins('one', output);
    output.add('stdout', Buffer.from('all of it'));
    run.take({ ...WATCH, from: { run: 7, step: 3, stdout: 4, stderr: 1 }, credit: 1_000 });
    expect(text('stdout')).toBe('all of it');
  });

  it('sends no more than the listener has room for', () => {
    const { run, output, text } = createRun();
    run.stepBegins('run', output);
    run.take({ ...WATCH, from: START, credit: 10 });
    output.add('stdout', Buffer.from('x'.repeat(100_000)));
    vi.advanceTimersByTime(1_000);
    expect(text('stdout')).toHaveLength(10);
    run.take({ kind: 'more', runToken: 't', listener: 'l', credit: 50_000 });
    vi.advanceTimersByTime(1_000);
    expect(text('stdout')).toHaveLength(50_010);
    run.close();
    expect(text('stdout')).toHaveLength(50_010);
  });

  it('forgets who has gone, where nobody hears it, and who is silent', async () => {
    const { run, output, sent } = createRun(0);
    run.stepBegins('run', output);
    run.take({ ...WATCH, from: START, credit: 1_000 });
    output.add('stdout', Buffer.from('a'));
    await vi.advanceTimersByTimeAsync(100);
    const before = sent.length;
    output.add('stdout', Buffer.from('b'));
    vi.advanceTimersByTime(100);
    expect(sent).toHaveLength(before);

    const other = createRun();
    other.run.take({ ...WATCH, from: START, credit: 1_000 });
    vi.advanceTimersByTime(50_000);
    expect(other.run.idleMs()).toBe(0);
    vi.advanceTimersByTime(50_000);
    other.run.idleMs();
    vi.advanceTimersByTime(5_000);
    expect(other.run.idleMs()).toBe(5_000);
  });

  it('says once that somebody listens: at once, or when the first one comes', () => {
    const { run } = createRun();
    const told: string[] = [];
    run.onListened(() => told.push('first box'));
    run.onListened(() => told.push('second box'));
    expect(told).toEqual([]);
    run.take({ ...WATCH, from: START, credit: 0 });
    run.take({ ...WATCH, listener: 'm', from: START, credit: 0 });
    expect(told).toEqual(['second box']);
    run.onListened(() => told.push('third box'));
    expect(told).toEqual(['second box', 'third box']);
    run.onListened(() => told.push('fourth box'));
    run.close();
    run.take({ kind: 'unwatch', runToken: 't', listener: 'l' });
    expect(told).toEqual(['second box', 'third box', 'fourth box']);
  });

  it('tells late listeners of events, too', () => {
    const { run, sent } = createRun();
    const test = { index: 0, verdict: 'accepted', points: 1, usage: null } as const;
    run.tested(test);
    run.take({ ...WATCH, from: START, credit: 0 });
    expect(sent).toMatchObject([{ kind: 'test', test }]);
  });
});

describe('what is done to a run', () => {
  const act = { kind: 'act', runToken: 't', channel: CHANNEL } as const;

  it('is done in its order, and answered', async () => {
    const { run, sent } = createRun();
    const done: string[] = [];
    run.onAction(async ({ kind }) => {
      await Promise.resolve();
      done.push(kind);
      return kind === 'thaw' ? 'not_running' : null;
    });
    run.take({ ...act, id: '1', action: { kind: 'freeze' } });
    run.take({ ...act, id: '2', action: { kind: 'thaw' } });
    await vi.advanceTimersByTimeAsync(1);
    expect(done).toEqual(['freeze', 'thaw']);
    expect(sent).toEqual([
      { kind: 'reply', id: '1', refusal: null },
      { kind: 'reply', id: '2', refusal: 'not_running' },
    ]);
  });

  it('is refused before there is a box, and when it is gone', async () => {
    const { run, sent } = createRun();
    run.take({ ...act, id: '1', action: { kind: 'freeze' } });
    run.onAction(() => Promise.reject(new Error('the box was closed')));
    await vi.advanceTimersByTimeAsync(1);
    run.take({ ...act, id: '2', action: { kind: 'freeze' } });
    await vi.advanceTimersByTimeAsync(1);
    expect(sent).toMatchObject([
      { id: '1', refusal: 'not_running' },
      { id: '2', refusal: 'not_running' },
    ]);
  });
});
