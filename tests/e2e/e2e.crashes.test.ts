import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Job } from '../../services/contract/job.js';
import { isFinal } from '../../services/contract/job.js';
import { eventually } from '../helpers/eventually.js';
import { leftovers, nothingLeft } from '../helpers/leftovers.js';
import { startTestStack, type TestStack } from '../helpers/stack.js';

/** Prints what no other run of any job prints, so that an end that is overwritten would show. */
const UNIQUE = 'cat /proc/sys/kernel/random/uuid; ';

function job(seconds: number): object {
  return { language: 'bash', source: `${UNIQUE}sleep ${seconds}`, limits: { wallTimeMs: 20_000 } };
}

describe('a crash in the middle of twenty running boxes', () => {
  let before: Set<string>;
  let stack: TestStack;
  beforeEach(async () => {
    before = leftovers();
    stack = await startTestStack({ MAYFLY_SLOTS: '20', MAYFLY_DRAIN_MS: '1500' });
  });
  afterEach(async () => {
    await stack.stop();
    await nothingLeft(before);
  });

  async function submit(count: number, seconds: number): Promise<string[]> {
    const jobs = await Promise.all(Array.from({ length: count }, () => stack.submit(job(seconds))));
    return jobs.map(({ id }) => id);
  }

  async function running(ids: readonly string[], count: number): Promise<void> {
    await eventually(async () => {
      const jobs = await Promise.all(ids.map((id) => stack.get(id)));
      return jobs.filter(({ status }) => status === 'running').length === count;
    });
  }

  /**
   * Waits for all of them; each has to be finished, with a result that does not change any more. What the
   * ledger missed while Redis was away, the result that is every run's own still shows.
   */
  async function finished(ids: readonly string[], heard: 'all' | 'some' = 'all'): Promise<Job[]> {
    let jobs: Job[] = [];
    await eventually(async () => {
      jobs = await Promise.all(ids.map((id) => stack.get(id)));
      return jobs.every(({ status }) => isFinal(status));
    }, 60_000);
    for (const { status, run, problem } of jobs) {
      expect({ status, problem }).toEqual({ status: 'finished', problem: null });
      expect(run).toMatchObject({ outcome: 'exited', exitCode: 0 });
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
    const again = await Promise.all(ids.map((id) => stack.get(id)));
    expect(again).toEqual(jobs);
    expect(new Set(jobs.map(({ run }) => run?.stdout)).size).toBe(ids.length);
    const counts = ids.map((id) => stack.endings.get(id) ?? (heard === 'all' ? 0 : 1));
    expect(counts).toEqual(ids.map(() => 1));
    return jobs;
  }

  function supervisorPid(): number {
    const starts = [...stack.log().matchAll(/"supervisorPid":(\d+)/g)];
    return Number(starts.at(-1)?.[1]);
  }

  function kill(pid: number | null, signal: NodeJS.Signals): void {
    if (pid === null || Number.isNaN(pid)) throw new Error('it does not run');
    process.kill(pid, signal);
  }

  it('of the executor loses no job and ends none twice', async () => {
    const ids = await submit(25, 1.5);
    await running(ids, 20);
    kill(stack.stack.executor.pid(), 'SIGKILL');
    const jobs = await finished(ids);
    expect(jobs.filter(({ runs }) => runs === 2).length).toBeGreaterThanOrEqual(20);
  });

  it('of the supervisor loses no job and ends none twice', async () => {
    const ids = await submit(25, 1.5);
    await running(ids, 20);
    kill(supervisorPid(), 'SIGKILL');
    const jobs = await finished(ids);
    expect(jobs.filter(({ runs }) => runs === 2).length).toBe(20);
  });

  it('that comes back with every run ends the job as failed, with its stage, at the fourth', async () => {
    const [id = ''] = await submit(1, 15);
    let runs = 0;
    await eventually(async () => {
      const one = await stack.get(id);
      if (one.status === 'running' && one.runs > runs) {
        runs = one.runs;
        kill(supervisorPid(), 'SIGKILL');
      }
      return isFinal(one.status);
    }, 30_000);
    expect(await stack.get(id)).toMatchObject({
      status: 'failed',
      runs: 4,
      run: null,
      problem: { code: 'execution_fault', stage: 'supervisor', retryable: true },
    });
    expect(stack.endings.get(id)).toBe(1);
  });

  it('of Redis loses no job and ends none twice, and is a 503 meanwhile', async () => {
    const ids = await submit(25, 1.5);
    await running(ids, 20);
    const pid = stack.stack.redis.pid();
    kill(pid, 'SIGSTOP');
    const askedAt = performance.now();
    const refused = await stack.call('POST', '/v1/jobs', job(0));
    expect(performance.now() - askedAt).toBeLessThan(3_500);
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toMatch(/^\d+$/);
    kill(pid, 'SIGKILL');
    await eventually(async () => (await stack.call('GET', '/readyz')).status === 200, 20_000);
    await finished(ids, 'some');
  });

  it('is not what SIGTERM is: the executor finishes what it can and gives back the rest', async () => {
    const short = await submit(10, 0.5);
    const long = await submit(10, 3);
    await running([...short, ...long], 20);
    kill(stack.stack.executor.pid(), 'SIGTERM');
    const jobs = await finished([...short, ...long]);
    expect(jobs.slice(0, 10).map(({ runs }) => runs)).toEqual(short.map(() => 1));
    expect(jobs.slice(10).map(({ runs }) => runs)).toEqual(long.map(() => 2));
  });
});
