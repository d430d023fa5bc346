import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Job } from '../../services/contract/job.js';
import { leftovers, nothingLeft } from '../helpers/leftovers.js';
import { startTestStack, type TestStack } from '../helpers/stack.js';

const bash = (name: string, script: string, more: object = {}) => ({
  name,
  argv: ['bash', '-c', script],
  ...more,
});
const pipe = (from: string, to: string, more: object = {}) => ({
  from: { process: from },
  to: { process: to },
  ...more,
});

const ends = (job: Job) =>
  job.steps?.map(({ name, outcome, exitCode }) => [name, outcome, exitCode]);

describe('jobs of processes', () => {
  let before: Set<string>;
  let stack: TestStack;
  beforeAll(async () => {
    before = leftovers();
    stack = await startTestStack();
  });
  afterAll(async () => {
    await stack.stop();
    await nothingLeft(before);
  });

  const run = (processes: object[], pipes: object[], more: object = {}) =>
    stack.submit({ image: 'base', processes, pipes, ...more }, 60);

  it('run at the same time, and tell of each what became of it', async () => {
    const job = await run(
      [
        bash('client', 'echo 20; read x; echo "got $x" >&2; [ $x = 21 ]'),
        bash('server', 'read x; echo $((x + 1)); exit 7'),
      ],
      [pipe('client', 'server'), pipe('server', 'client')],
    );
    expect(job).toMatchObject({ status: 'finished', run: null, language: null });
    expect(ends(job)).toEqual([
      ['client', 'exited', 0],
      ['server', 'exited', 7],
    ]);
    expect(job.steps?.[0]).toMatchObject({ stdout: '', stderr: 'got 21\n' });
    expect(job.steps?.[0]?.usage.cpuTimeMs).toBeGreaterThan(0);
  });

  it('are a pipeline, whose last output is returned and whose middle may be read, too', async () => {
    const job = await run(
      [
        bash('first', 'printf "3\\n1\\n2\\n"'),
        bash('sorted', 'exec sort'),
        bash('last', 'while read x; do echo "<$x>"; done'),
      ],
      [pipe('first', 'sorted'), pipe('sorted', 'last', { transcript: true })],
    );
    expect(job.steps?.map(({ stdout }) => stdout)).toEqual(['', '1\n2\n3\n', '<1>\n<2>\n<3>\n']);
  });

  it('have files of their own beside the common ones, and descriptors of any number', async () => {
    const job = await run(
      [
        bash(
          'manager',
          'cat common mine; echo a >&3; echo b >&4; read x <&5; read y <&6; echo $x$y',
          {
            files: [{ path: 'mine', content: 'mine\n' }],
          },
        ),
        bash('one', 'ls /box; read x; echo $x$x >&5'),
        bash('two', 'ls /box; read x; echo $x$x >&5'),
      ],
      [
        { from: { process: 'manager', descriptor: 3 }, to: { process: 'one' } },
        { from: { process: 'manager', descriptor: 4 }, to: { process: 'two' } },
        { from: { process: 'one', descriptor: 5 }, to: { process: 'manager', descriptor: 5 } },
        { from: { process: 'two', descriptor: 5 }, to: { process: 'manager', descriptor: 6 } },
      ],
      { files: [{ path: 'common', content: 'common\n' }] },
    );
    expect(job.steps?.map(({ stdout }) => stdout)).toEqual([
      'common\nmine\naabb\n',
      'common\n',
      'common\n',
    ]);
  });

  it('have limits of their own, and end by them when they wait for each other', async () => {
    const waits = [
      bash('a', 'read x; exit 1', { limits: { wallTimeMs: 500 } }),
      bash('b', 'read x; exit 2'),
    ];
    const job = await run(waits, [pipe('a', 'b'), pipe('b', 'a')]);
    expect(ends(job)).toEqual([
      ['a', 'wall_limit', null],
      ['b', 'exited', 2],
    ]);
    const floods = await run(
      [bash('yes', 'exec yes', { limits: { outputBytes: 1_000 } }), bash('no', 'sleep 60')],
      [pipe('yes', 'no', { transcript: true })],
      { limits: { wallTimeMs: 1_000 } },
    );
    expect(ends(floods)).toEqual([
      ['yes', 'output_limit', null],
      ['no', 'wall_limit', null],
    ]);
    expect(floods.steps?.[0]?.stdout).toHaveLength(1_000);
  });

  it('fail as a whole when a file cannot be written, and say whose', async () => {
    const large = bash('b', 'true', { files: [{ path: 'x', content: 'x'.repeat(200_000) }] });
    const failed = await run([bash('a', 'sleep 60'), large], [], {
      limits: { wallTimeMs: 1_000, diskBytes: 65_536 },
    });
    expect(failed).toMatchObject({ status: 'failed', problem: { stage: 'files' } });
    expect(failed.problem?.detail).toContain('/box/x of b cannot be written');
  });

  it('are all killed by DELETE', async () => {
    const sleepers = [bash('a', 'echo; sleep 60'), bash('b', 'read x; echo; sleep 60')];
    const { id } = await stack.submit({
      image: 'base',
      processes: sleepers,
      pipes: [pipe('a', 'b')],
      limits: { wallTimeMs: 60_000 },
    });
    let job = await stack.get(id);
    const deadline = Date.now() + 20_000;
    while (job.status !== 'running' && Date.now() < deadline) job = await stack.get(id);
    const { status } = await stack.call('DELETE', `/v1/jobs/${id}`);
    expect(status).toBe(200);
    expect(await stack.get(id)).toMatchObject({ status: 'cancelled' });
  });

  it('are charged for each of their boxes', async () => {
    const usage = async () => {
      const { body } = await stack.call('GET', '/v1/usage');
      return body as { days: { slotSeconds: number }[] };
    };
    const slotSeconds = async () =>
      (await usage()).days.reduce((sum, day) => sum + day.slotSeconds, 0);
    const sleep = (name: string) => bash(name, 'sleep 0.5');
    const charge = async (job: object): Promise<number> => {
      const was = await slotSeconds();
      const { id } = await stack.submit({ image: 'base', ...job }, 60);
      await stack.get(id);
      return (await slotSeconds()) - was;
    };
    const { argv } = sleep('');
    const alone = await charge({ steps: [{ name: 'a', argv }] });
    const four = await charge({ processes: ['a', 'b', 'c', 'd'].map(sleep) });
    // Four boxes are asked for before the first runs, so it is never less than four times the sleep.
    expect(alone).toBeGreaterThanOrEqual(0.5);
    expect(four).toBeGreaterThanOrEqual(2);
  });
});
