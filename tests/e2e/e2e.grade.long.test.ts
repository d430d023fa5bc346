// What of grading takes its time: a harness without end, and an executor that dies.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readEvents } from '../helpers/events.js';
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
int main() { int n; scanf("%d", &n); usleep(300000); printf("%d", n + 1); }`;

it('a harness has no more than 1,000 runs', async () => {
  const source = `
import json
def say(**line): print(json.dumps(line), flush=True)
for _ in range(1_000):
    say(run={})
    input()
say(result={'name': 'all', 'points': 1, 'pointsMax': 1})
say(run={})
input()
`;
  const student = { language: 'c', source: 'int main(void) { return 0; }' };
  const { id } = await stack.submit({ ...student, grade: { language: 'python', source } });
  const job = await stack.get(id, 60);
  expect(job.tests?.map(({ message }) => message)).toEqual([
    '',
    'line 1002 of the harness: more than 1000 runs',
  ]);
}, 120_000);

it('a killed executor has a program graded again, from the start and once', async () => {
  const source = `
import json
for number in range(8):
    print(json.dumps({'run': {'stdin': str(number)}}), flush=True)
    points = int(json.loads(input())['stdout'] == str(number + 1))
    print(json.dumps({'result': {'name': str(number), 'points': points, 'pointsMax': 1}}), flush=True)
`;
  const grade = { language: 'python', source };
  const { id } = await stack.submit({ language: 'cpp', source: SOURCE, grade });
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
