/** A judge job through GET /v1/jobs/{id}/events: each test once, whenever one comes, and again with another run. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { testEventOf, type Job, type TestResult } from '../../services/contract/job.js';
import type { TaskPart, TaskResult } from '../../services/contract/task.js';
import type { LiveRun } from '../../services/platform/live-run.js';
import type { TaskRunner, TaskSource } from '../../services/platform/task-source.js';
import { API_KEY, startApi, type TestApi } from '../helpers/api.js';
import { readEvents, type EventReader } from '../helpers/events.js';
import { eventually } from '../helpers/eventually.js';
import { startFakeExecutor, stepResult, workOf } from '../helpers/fake-executor.js';
import { startRedis, type TestRedis } from '../helpers/redis.js';

let redis: TestRedis;
let api: TestApi;
let server: Server;
let url: string;
let executor: TaskSource;

/** A slice that is held: what it tells, and how it ends. */
interface Held {
  readonly from: number;
  readonly live: LiveRun;
  end(how: 'finished' | 'fault'): void;
}
let held: Held[] = [];

const SLICES: TaskPart[] = [
  { kind: 'tests', from: 0, to: 2 },
  { kind: 'tests', from: 2, to: 4 },
];

function testResult(index: number): TestResult {
  const run = stepResult(String(index));
  const verdict = index === 3 ? 'wrong_answer' : 'accepted';
  const points = index === 3 ? 0 : 1;
  return { index, name: String(index), group: null, verdict, points, message: '', run };
}

const runner: TaskRunner = (task, _signal, _observer, live) => {
  const work = { ...workOf(task), run: null };
  const { part } = task;
  if (part.kind !== 'tests') {
    const plan = [0, 1, 2, 3].map((index) => ({ name: String(index), points: 1, group: null }));
    const next = { parts: SLICES, parallel: 2 };
    return Promise.resolve({ status: 'finished', work: { ...work, plan }, next });
  }
  const results = [part.from, part.from + 1].map(testResult);
  const fault = { stage: 'exec', errno: null, detail: 'played', retryable: true };
  const finished: TaskResult = {
    status: 'finished',
    work: { ...work, tests: { from: part.from, results } },
  };
  return new Promise((resolve) => {
    const end = (how: 'finished' | 'fault'): void =>
      resolve(how === 'fault' ? { status: 'fault', fault, work: null } : finished);
    held.push({ from: part.from, live, end });
  });
};

beforeAll(async () => {
  redis = await startRedis();
  api = await startApi(redis.url);
  server = createServer(api.app);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.close();
  server.closeAllConnections();
  await api.close();
  await redis.stop();
});
beforeEach(async () => {
  await redis.client.flushall();
  held = [];
  executor = await startFakeExecutor(redis.url, runner);
});
afterEach(() => executor.drain(0));

async function start(): Promise<string> {
  const tests = [0, 1, 2, 3].map(() => ({ expectedStdout: '' }));
  const response = await fetch(`${url}/v1/jobs`, {
    method: 'POST',
    headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify({ language: 'python', source: '1', tests }),
  });
  const { id } = (await response.json()) as Job;
  await eventually(() => held.length === 2);
  return id;
}

async function stored(id: string, part: string): Promise<boolean> {
  return (await redis.client.hexists(`{c0}:result:${id}`, part)) === 1;
}

const follow = (id: string, from?: string) => readEvents({ url, apiKey: API_KEY }, id, from);

function slice(from: number): Held {
  const found = held.findLast((each) => each.from === from);
  if (found === undefined) throw new Error(`no slice from ${from} is held`);
  return found;
}

function tell(index: number): void {
  slice(index < 2 ? 0 : 2).live.tested(testEventOf(testResult(index)));
}

/** The indices that a reader was told, by the run that it was told last. */
function toldBy({ events }: EventReader): [run: unknown, index: unknown][] {
  let run: unknown = null;
  return events.flatMap(({ event, data }): [unknown, unknown][] => {
    if (event === 'state') run = data['run'];
    return event === 'test' ? [[run, data['index']]] : [];
  });
}

const isTest = (index: number) => (event: { event: string; data: Record<string, unknown> }) =>
  event.event === 'test' && event.data['index'] === index;

it('tells each test once, to who was there, came late, or after the end', async () => {
  const id = await start();
  const first = await follow(id);
  tell(0);
  tell(2);
  const { data } = await first.until(isTest(2));
  expect(data).toEqual(testEventOf(testResult(2)));
  slice(0).end('finished'); // its test 1 was told to nobody: it is in the result
  await eventually(() => stored(id, 'tests:0'));
  const late = await follow(id);
  await late.until(isTest(1));
  await late.until(isTest(2)); // out of a slice that still runs
  tell(3);
  await late.until(isTest(3));
  slice(2).end('finished');
  await Promise.all([first.ended, late.ended]);
  const after = await follow(id);
  const resumed = await follow(id, '1.0.0.0');
  await Promise.all([after.ended, resumed.ended]);
  for (const reader of [first, late, after, resumed]) {
    const told = toldBy(reader).map(([, index]) => index);
    expect([...told].sort()).toEqual([0, 1, 2, 3]);
    expect(reader.events.at(-1)?.event).toBe('finished');
  }
});

it('starts anew with another run, with what stays of the one before', async () => {
  const id = await start();
  const reader = await follow(id);
  for (const index of [0, 1, 2]) tell(index);
  await reader.until(isTest(2));
  slice(0).end('finished');
  await eventually(() => stored(id, 'tests:0'));
  slice(2).end('fault');
  await eventually(() => held.length === 3);
  await eventually(() => toldBy(reader).filter(([run]) => run === 2).length === 2);
  tell(2);
  tell(3);
  await eventually(() => toldBy(reader).filter(([run]) => run === 2).length === 4);
  slice(2).end('finished');
  await reader.ended;
  const of = (run: number) => toldBy(reader).flatMap(([by, index]) => (by === run ? [index] : []));
  expect([...of(1)].sort()).toEqual([0, 1, 2]);
  expect([...of(2)].sort()).toEqual([0, 1, 2, 3]);
});
