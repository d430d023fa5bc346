/** Following and acting through the API, with an executor that plays a program. */
import type { Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import request from 'supertest';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { CreatedTenant } from '../../services/contract/tenant.js';
import type { Action, ActionRefusal } from '../../services/contract/control.js';
import { answerUpgrades } from '../../services/api/upgrade.js';
import type { LiveRun } from '../../services/platform/live-run.js';
import type { TaskRunner, TaskSource } from '../../services/platform/task-source.js';
import { createOutput, type Output } from '../../workers/executor/step-result.js';
import { ADMIN_KEY, API_KEY, startApi, type TestApi } from '../helpers/api.js';
import { attach } from '../helpers/attach.js';
import { readEvents } from '../helpers/events.js';
import { eventually } from '../helpers/eventually.js';
import { finished, startFakeExecutor, stepResult, workOf } from '../helpers/fake-executor.js';
import { startRedis, type TestRedis } from '../helpers/redis.js';

let redis: TestRedis;
const replicas: { api: TestApi; server: Server; url: string }[] = [];
let executor: TaskSource | null = null;

/** What the fake program of the last run can be told. */
interface Played {
  readonly output: Output;
  readonly live: LiveRun;
  readonly actions: Action[];
  refusal: ActionRefusal | null;
  end(how?: 'fault'): void;
}
let played: Played[] = [];

const runner: TaskRunner = (task, signal, _observer, live) =>
  new Promise((resolve) => {
    const output = createOutput(() => live.wrote());
    const actions: Action[] = [];
    live.stepBegins('run', output);
    const play: Played = {
      output,
      live,
      actions,
      refusal: null,
      end(how) {
        const text = (stream: 'stdout' | 'stderr') => output.bytesOf(stream).toString();
        const run = { ...stepResult(text('stdout')), stderr: text('stderr') };
        const fault = { stage: 'exec', errno: null, detail: 'played', retryable: true };
        resolve(
          how === 'fault'
            ? { status: 'fault', fault, work: null }
            : { status: 'finished', work: { ...workOf(task), run } },
        );
      },
    };
    live.onAction((action) => {
      actions.push(action);
      return Promise.resolve(play.refusal);
    });
    signal.addEventListener('abort', () => resolve(finished(task)), { once: true });
    played.push(play);
  });

beforeAll(async () => {
  redis = await startRedis();
  for (let i = 0; i < 2; i += 1) {
    const api = await startApi(redis.url);
    const server = createServer(api.app);
    answerUpgrades(server, api.app);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    replicas.push({ api, server, url: `http://127.0.0.1:${port}` });
  }
});
afterAll(async () => {
  for (const { api, server } of replicas) {
    server.close();
    server.closeAllConnections();
    await api.close();
  }
  await redis.stop();
});
beforeEach(async () => {
  await redis.client.flushall();
  played = [];
  executor = await startFakeExecutor(redis.url, runner);
});
afterEach(async () => {
  await executor?.drain(0);
});

const bearer = (key: string) => ({ Authorization: `Bearer ${key}` });
const target = (index = 0) => ({ url: replicas[index]?.url ?? '', apiKey: API_KEY });
function apis(): TestApi {
  const first = replicas[0];
  if (first === undefined) throw new Error('no replica was started');
  return first.api;
}

async function start(more: object = {}): Promise<string> {
  const before = played.length;
  const { body } = await request(apis().app)
    .post('/v1/jobs')
    .set(bearer(API_KEY))
    .send({ language: 'python', source: '1', ...more })
    .expect(202);
  await eventually(() => played.length > before);
  return (body as { id: string }).id;
}

function current(): Played {
  const play = played.at(-1);
  if (play === undefined) throw new Error('nothing runs');
  return play;
}

async function otherTenant(): Promise<CreatedTenant> {
  const { body } = await request(apis().adminApp)
    .post('/v1/admin/tenants')
    .set(bearer(ADMIN_KEY))
    .send({ name: 'other' })
    .expect(201);
  return body as CreatedTenant;
}

describe('following', () => {
  it('works through every replica, live, and from the result', async () => {
    const id = await start();
    const readers = [await readEvents(target(0), id), await readEvents(target(1), id)];
    current().output.add('stdout', Buffer.from('live'));
    for (const reader of readers) await reader.until(({ event }) => event === 'stdout');
    current().output.add('stderr', Buffer.from('more'));
    current().end();
    for (const reader of [...readers, await readEvents(target(0), id)]) {
      await reader.ended;
      expect([reader.text('stdout'), reader.text('stderr')]).toEqual(['live', 'more']);
      expect(reader.events.at(-1)?.event).toBe('finished');
    }
  });

  it('tells of a job that waits, and starts anew with another run', async () => {
    const id = await start();
    const reader = await readEvents(target(), id);
    current().output.add('stdout', Buffer.from('first try'));
    await reader.until(({ event }) => event === 'stdout');
    current().end('fault');
    await eventually(() => played.length === 2);
    current().output.add('stdout', Buffer.from('second'));
    const again = await reader.until(
      ({ event, data }) => event === 'stdout' && data['data'] === 'c2Vjb25k',
    );
    expect([again.id, again.data['offset']]).toEqual(['2.0.6.0', 0]);
    const states = reader.events.filter(({ event }) => event === 'state').map(({ data }) => data);
    expect(states).toContainEqual({ status: 'queued', run: 1 });
    expect(states).toContainEqual({ status: 'running', run: 2 });
    const resumed = await readEvents(target(), id, '1.0.9.0');
    current().end();
    await Promise.all([reader.ended, resumed.ended]);
    expect(resumed.text('stdout')).toBe('second');
  });

  it('brings what the judge tells', async () => {
    const id = await start();
    const test = { index: 0, verdict: 'accepted', points: 1, usage: null } as const;
    current().live.tested(test);
    const reader = await readEvents(target(), id);
    const { data } = await reader.until(({ event }) => event === 'test');
    expect(data).toEqual(test);
    current().end();
    await reader.ended;
  });

  it('survives a cut of the connection that output comes by', async () => {
    const id = await start();
    const reader = await readEvents(target(), id);
    current().output.add('stdout', Buffer.from('before '));
    await reader.until(({ event }) => event === 'stdout');
    await redis.client.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    current().output.add('stdout', Buffer.from('after'));
    await eventually(() => reader.text('stdout') === 'before after');
    current().end();
    await reader.ended;
    expect(reader.text('stdout')).toBe('before after');
  });

  it('leaves nothing behind for a reader who goes', async () => {
    const id = await start();
    const reader = await readEvents(target(), id);
    await reader.until(({ event }) => event === 'state');
    await eventually(() => current().live.idleMs() === 0);
    reader.close();
    await eventually(() => current().live.idleMs() > 0);
    await eventually(() => replicas[0]?.api.replica.streams.count() === 0);
    current().end();
    await eventually(async () => (await redis.client.exists(`{c0}:listeners:${id}`)) === 0);
  });
});

describe('acting', () => {
  const actions: readonly (readonly [string, string, object | string | undefined, Action])[] = [
    ['post', 'freeze', undefined, { kind: 'freeze' }],
    ['post', 'thaw', undefined, { kind: 'thaw' }],
    ['patch', 'limits', { cpus: 2 }, { kind: 'limits', limits: { cpus: 2 } }],
    ['post', 'signal', { signal: 'SIGINT' }, { kind: 'signal', signal: 'SIGINT' }],
    ['post', 'stdin', 'hi', { kind: 'input', data: 'aGk=', last: false }],
    ['post', 'stdin?close', '', { kind: 'input', data: '', last: true }],
  ];
  const send = (method: string, path: string, key: string, body?: object | string) => {
    const call =
      method === 'patch' ? request(apis().app).patch(path) : request(apis().app).post(path);
    const bytes = typeof body === 'string';
    return call
      .set(bearer(key))
      .set(bytes ? { 'Content-Type': 'application/octet-stream' } : {})
      .send(body);
  };

  it.each(actions)('%s %s reaches the run', async (method, path, body, action) => {
    const id = await start();
    await send(method, `/v1/jobs/${id}/${path}`, API_KEY, body).expect(200);
    expect(current().actions).toEqual([action]);
    current().end();
  });

  it.each([
    ['not_running', 409],
    ['not_interactive', 409],
    ['no_terminal', 409],
    ['memory_in_use', 409],
    ['frozen_too_long', 409],
    ['input_full', 429],
  ] as const)('says that it is refused: %s', async (refusal, status) => {
    const id = await start();
    current().refusal = refusal;
    await send('post', `/v1/jobs/${id}/freeze`, API_KEY).expect(status);
    current().end();
  });

  it('cannot be done to a job that waits, or has ended', async () => {
    const id = await start();
    current().end();
    await eventually(
      async () => (await redis.client.hget(`{c0}:job:${id}`, 'status')) === 'finished',
    );
    await send('post', `/v1/jobs/${id}/freeze`, API_KEY).expect(409);
  });

  it('charges a run for the CPUs that it is given', async () => {
    const id = await start();
    await send('patch', `/v1/jobs/${id}/limits`, API_KEY, { cpus: 2 }).expect(200);
    expect(await redis.client.hget(`{c0}:task:task_${id.slice(4)}-1`, 'cpus')).toBe('2');
    current().end();
  });

  it('cannot be done to, or heard of, another tenant’s job; it answers as a missing one', async () => {
    const id = await start();
    const missing = `job_${'a'.repeat(26)}`;
    const { apiKey } = await otherTenant();
    for (const [method, path, body] of actions) {
      const answers = await Promise.all(
        [id, missing].map((each) => send(method, `/v1/jobs/${each}/${path}`, apiKey, body)),
      );
      const [foreign, none] = answers.map(({ status, body: answer }) => ({
        status,
        answer: { ...(answer as object), requestId: '' },
      }));
      expect(foreign).toEqual(none);
      expect(foreign?.status).toBe(404);
    }
    expect((await readEvents({ ...target(), apiKey }, id)).status).toBe(404);
    await expect(attach({ ...target(), apiKey }, id)).rejects.toThrow('404');
    expect(current().actions).toEqual([]);
    expect(await redis.client.exists(`{c0}:listeners:${id}`)).toBe(0);
    current().end();
  });
});
