import { afterAll, beforeAll, expect, it } from 'vitest';
import { readEvents } from '../helpers/events.js';
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

it('a killed executor has a program graded again, from the start and once', async () => {
  const source = `
import json
for number in range(8):
    print(json.dumps({'run': {'stdin': str(number)}}), flush=True)
    points = int(json.loads(input())['stdout'] == str(number + 1))
    print(json.dumps({'result': {'name': str(number), 'points': points, 'pointsMax': 1}}), flush=True)
`;
  const slow = SOURCE.replace('30000', '300000');
  const grade = { language: 'python', source };
  const { id } = await stack.submit({ language: 'cpp', source: slow, grade });
  const events = await readEvents(stack.stack, id);
  await events.until(({ event, data }) => event === 'test' && data['index'] === 1);
  const pid = stack.stack.executor.pid();
  if (pid === null) throw new Error('the executor does not run');
  process.kill(pid, 'SIGKILL');
  const job = await stack.get(id, 60);
  expect(job).toMatchObject({ status: 'finished', runs: 2, verdict: 'accepted', points: 8 });
  expect(job.tests?.map(({ name }) => name)).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map(String));
  await events.ended;
  const again = events.events.findIndex(({ data }) => data['run'] === 2);
  const told = events.events.slice(again).filter(({ event }) => event === 'test');
  expect(told.map(({ data }) => data['index'])).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
}, 90_000);
