import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PROGRAMS } from '../../infra/demo/programs.js';
import { eventually } from '../helpers/eventually.js';
import { leftovers, nothingLeft } from '../helpers/leftovers.js';
import { startTestStack, type TestStack } from '../helpers/stack.js';

describe('jobs over HTTP', () => {
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

  it.each(PROGRAMS)('$title: $outcomes', async (program) => {
    const { language, source, stdin = '', limits = {} } = program;
    const job = await stack.submit({ language, source, stdin, limits }, 60);
    expect(job.status).toBe('finished');
    if (job.run === null) throw new Error(JSON.stringify(job.compile?.stderr));
    expect(program.outcomes).toContain(job.run.outcome);
    expect(program.complaint?.(job.run) ?? null).toBeNull();
    expect(job.image).toMatch(/^base@sha256:[0-9a-f]{64}$/);
    expect(job.runs).toBe(1);
    expect(job.timings.boxMs).toBeGreaterThan(0);
    expect(job.timings.totalMs).toBeGreaterThan(0);
  });

  it('return a compile error as the result of the compile step', async () => {
    const job = await stack.submit({ language: 'c', source: 'int main(void) { nonsense }' }, 30);
    expect(job).toMatchObject({ status: 'finished', run: null, compile: { outcome: 'exited' } });
    expect(job.compile?.exitCode).not.toBe(0);
    expect(job.compile?.stderr).toContain('main.c');
  });

  it('run steps in one box up to the first that fails, and return files', async () => {
    const job = await stack.submit(
      {
        image: 'base',
        files: [{ path: 'in/data', content: 'AP8=', encoding: 'base64' }],
        steps: [
          { name: 'copy', argv: ['bash', '-c', 'mkdir out && cp in/data out/copy.bin'] },
          { name: 'fail', argv: ['no-such-program'] },
          { name: 'never', argv: ['true'] },
        ],
        collect: ['out/*', 'missing'],
      },
      30,
    );
    expect(job.steps?.map(({ name, outcome, exitCode }) => [name, outcome, exitCode])).toEqual([
      ['copy', 'exited', 0],
      ['fail', 'exited', 127],
    ]);
    expect(job.files).toEqual([
      { path: 'out/copy.bin', bytes: 2, content: 'AP8=', encoding: 'base64' },
    ]);
    expect(job.filesOmitted).toEqual([{ path: 'missing', reason: 'missing' }]);
  });

  it('return bytes that are not UTF-8 as base64', async () => {
    const job = await stack.submit({ language: 'bash', source: "printf 'a\\377'" }, 30);
    expect(job.run).toMatchObject({ stdout: 'Yf8=', stdoutEncoding: 'base64' });
  });

  it('fail at once, naming the file, when a file cannot be written', async () => {
    const job = await stack.submit(
      {
        image: 'base',
        files: [{ path: 'big', content: 'x'.repeat(200_000) }],
        limits: { diskBytes: 65_536 },
        steps: [{ name: 'a', argv: ['true'] }],
      },
      30,
    );
    expect(job).toMatchObject({
      status: 'failed',
      runs: 1,
      problem: { stage: 'files', retryable: false },
    });
    expect(job.problem?.detail).toMatch(/\/box\/big cannot be written: ENOSPC/);
  });

  it('are killed by DELETE while they run, with what they used until then', async () => {
    const { id } = await stack.submit({ language: 'bash', source: 'while :; do :; done' });
    await eventually(async () => (await stack.get(id)).status === 'running');
    await new Promise((resolve) => setTimeout(resolve, 200));
    const answer = await stack.call('DELETE', `/v1/jobs/${id}`);
    expect(answer).toMatchObject({
      status: 200,
      body: { status: 'cancelled', run: { outcome: 'cancelled' } },
    });
    const again = await stack.call('DELETE', `/v1/jobs/${id}`);
    expect(again.status).toBe(409);
    const job = await stack.get(id);
    expect(job.run?.usage.cpuTimeMs).toBeGreaterThan(1);
  });

  it('never start when they are cancelled in the queue', async () => {
    const blockers = await Promise.all(
      Array.from({ length: 4 }, () => stack.submit({ language: 'bash', source: 'sleep 5' })),
    );
    const { id } = await stack.submit({ language: 'bash', source: 'echo ran' });
    const answer = await stack.call('DELETE', `/v1/jobs/${id}`);
    expect(answer).toMatchObject({
      status: 200,
      body: { status: 'cancelled', run: null, runs: 0 },
    });
    for (const blocker of blockers) await stack.call('DELETE', `/v1/jobs/${blocker.id}`);
  });
});
