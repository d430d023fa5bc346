import { afterAll, beforeAll, expect, it } from 'vitest';
import { eventually } from '../helpers/eventually.js';
import { leftovers, nothingLeft } from '../helpers/leftovers.js';
import { startTestStack, type TestStack } from '../helpers/stack.js';

let before: Set<string>;
let stack: TestStack;
beforeAll(async () => {
  before = leftovers();
  stack = await startTestStack({ MAYFLY_SLOTS: '2' });
});
afterAll(async () => {
  await stack.stop();
  await nothingLeft(before);
});

const SOURCE = `#include <cstdio>
#include <unistd.h>
int main() { int n; scanf("%d", &n); usleep(30000); printf("%d", n + 1); }`;

it('a killed executor costs a judge job at most a slice, and its points are right', async () => {
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
}, 90_000);
