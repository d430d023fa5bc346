import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { eventually } from '../helpers/eventually.js';
import { leftovers, nothingLeft } from '../helpers/leftovers.js';
import { startTestStack, type TestStack } from '../helpers/stack.js';

const SLOTS = 2;

let before: Set<string>;
let scratch: string;
let boxLog: string;
let stack: TestStack;
beforeAll(async () => {
  before = leftovers();
  scratch = mkdtempSync(join(tmpdir(), 'mayfly-judge-crash-'));
  boxLog = join(scratch, 'boxes');
  writeFileSync(boxLog, '');
  stack = await startTestStack({ MAYFLY_SLOTS: String(SLOTS), MAYFLY_BOX_LOG: boxLog });
});
afterAll(async () => {
  await stack.stop();
  rmSync(scratch, { recursive: true });
  await nothingLeft(before);
});

/** How often each task of the job was begun, whatever the records say: the first compiles, each other is a slice. */
function beginnings(jobId: string): number[] {
  const counts = new Map<string, number>();
  for (const line of readFileSync(boxLog, 'utf8').split('\n')) {
    const [job, task = ''] = line.split(' ');
    if (job === jobId) counts.set(task, (counts.get(task) ?? 0) + 1);
  }
  return [...counts.values()];
}

const SOURCE = `#include <cstdio>
#include <unistd.h>
int main() { int n; scanf("%d", &n); usleep(30000); printf("%d", n + 1); }`;

it('a killed executor costs a judge job at most a slice of each slot, and its points are right', async () => {
  const tests = Array.from({ length: 100 }, (_, n) => ({
    stdin: `${n}`,
    expectedStdout: `${n % 10 === 9 ? -1 : n + 1}`,
  }));
  const { id } = await stack.submit({ language: 'cpp', source: SOURCE, tests });
  await eventually(async () => ((await stack.get(id)).tests?.length ?? 0) >= 12, 30_000);
  const pid = stack.stack.executor.pid();
  if (pid === null) throw new Error('the executor does not run');
  const done = (await stack.get(id)).tests?.length ?? 0;
  process.kill(pid, 'SIGKILL');
  expect(done).toBeLessThan(100);
  const job = await stack.get(id, 60);
  expect(job).toMatchObject({
    status: 'finished',
    verdict: 'wrong_answer',
    points: 90,
    pointsMax: 100,
  });
  expect(job.tests?.map(({ index }) => index)).toEqual(tests.map((_, index) => index));
  const begun = beginnings(id);
  expect(begun.length).toBeGreaterThan(4 * SLOTS);
  expect(begun.filter((times) => times > 1).length).toBeLessThanOrEqual(SLOTS);
  expect(Math.max(...begun)).toBeLessThanOrEqual(2);
}, 90_000);
