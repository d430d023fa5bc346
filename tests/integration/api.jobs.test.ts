import request from 'supertest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TaskSource } from '../../services/platform/task-source.js';
import { API_KEY, startApi, type TestApi } from '../helpers/api.js';
import { eventually } from '../helpers/eventually.js';
import { FAKE_IMAGE, finished, startFakeExecutor, untilStopped } from '../helpers/fake-executor.js';
import { startRedis, type TestRedis } from '../helpers/redis.js';

let redis: TestRedis;
let api: TestApi;
let executor: TaskSource;

const bearer = { Authorization: `Bearer ${API_KEY}` };
const hello = { language: 'python', source: 'print(input())', stdin: 'hello' };

beforeAll(async () => {
  redis = await startRedis();
  api = await startApi(redis.url);
  executor = await startFakeExecutor(redis.url, (task, signal) =>
    task.spec.stdin.content === 'endless'
      ? untilStopped(task, signal)
      : Promise.resolve(finished(task)),
  );
});

afterAll(async () => {
  await executor.drain(0);
  await api.close();
  await redis.stop();
});

const post = (body: object, query = '') =>
  request(api.app).post(`/v1/jobs${query}`).set(bearer).send(body);
const get = (path: string) => request(api.app).get(path).set(bearer);
const del = (path: string) => request(api.app).delete(path).set(bearer);

describe('POST /v1/jobs', () => {
  it('answers 200 with the result when it is there in time', async () => {
    const response = await post({ ...hello, metadata: { a: [1] } }, '?wait=10').expect(200);
    const { id } = response.body;
    expect(id).toMatch(/^job_[a-z2-7]{26}$/);
    expect(response.headers.location).toBe(`/v1/jobs/${id}`);
    expect(response.body).toMatchObject({
      status: 'finished',
      image: FAKE_IMAGE,
      run: { outcome: 'exited', exitCode: 0, signal: null, stdout: 'hello' },
      compile: null,
      steps: null,
      metadata: { a: [1] },
    });
  });

  it('answers 202 with the job so far when nobody waits', async () => {
    const response = await post(hello).expect(202);
    expect(response.headers.location).toBe(`/v1/jobs/${response.body.id}`);
    expect(response.body).toMatchObject({ status: 'queued', run: null, runs: 0 });
  });

  it('answers 202 when the time is over first', async () => {
    const response = await post({ ...hello, stdin: 'endless' }, '?wait=0.2').expect(202);
    expect(response.body.status).toBe('running');
    await del(`/v1/jobs/${response.body.id}`).expect(200);
  });

  it('runs the steps of an image', async () => {
    const steps = [
      { name: 'one', argv: ['/bin/true'], stdin: '1' },
      { name: 'two', argv: ['/bin/true'], stdin: '2' },
    ];
    const response = await post({ image: 'base', steps }, '?wait=10').expect(200);
    expect(response.body).toMatchObject({
      language: null,
      run: null,
      steps: [
        { name: 'one', stdout: '1' },
        { name: 'two', stdout: '2' },
      ],
    });
  });

  it.each([
    ['both boxes of a graded one', { grade: { language: 'python', source: '' } }, '2'],
    [
      'both, with what each may use',
      { limits: { cpus: 2 }, grade: { language: 'python', source: '', limits: { cpus: 1.5 } } },
      '3.5',
    ],
    ['the box of any other', { stdin: '' }, '1'],
  ])('charges a job for the CPUs of %s', async (_what, more, cpus) => {
    const { body } = await post({
      language: 'python',
      source: '',
      stdin: undefined,
      ...more,
    }).expect(202);
    const task = `{c0}:task:task_${String(body.id).slice(4)}-1`;
    expect(await redis.client.hget(task, 'cpus')).toBe(cpus);
  });

  it('gives compiled languages a compile step', async () => {
    const job = { language: 'c', source: 'int main(){}', compile: { args: ['-O3'] } };
    const response = await post(job, '?wait=10').expect(200);
    expect(response.body.compile).toMatchObject({ outcome: 'exited' });
  });
});

describe('GET /v1/jobs/{id}', () => {
  it('reads a job, with the parts that were asked for', async () => {
    const { id } = (await post(hello, '?wait=10')).body;
    const all = await get(`/v1/jobs/${id}`).expect(200);
    expect(all.body.run.stdout).toBe('hello');
    const some = await get(`/v1/jobs/${id}?include=stderr`).expect(200);
    expect(some.body.run).toHaveProperty('stderr');
    expect(some.body.run).not.toHaveProperty('stdout');
    const none = await get(`/v1/jobs/${id}?include=`).expect(200);
    expect(none.body.run).not.toHaveProperty('stderr');
    expect(none.body).not.toHaveProperty('files');
  });

  it('waits for the end', async () => {
    const { id } = (await post(hello)).body;
    const response = await get(`/v1/jobs/${id}?wait=10`).expect(200);
    expect(response.body.status).toBe('finished');
  });

  it("answers the same 404 to a missing id, an impossible one, and another tenant's", async () => {
    const { id } = (await post(hello)).body;
    const other = await api.tenants.create('other');
    const answers = await Promise.all([
      get(`/v1/jobs/job_${'a'.repeat(26)}`),
      get('/v1/jobs/nonsense'),
      request(api.app)
        .get(`/v1/jobs/${id}`)
        .set({ Authorization: `Bearer ${other.apiKey}` }),
    ]);
    for (const { status, body } of answers) {
      expect(status).toBe(404);
      expect({ ...body, requestId: '' }).toEqual({ ...answers[0].body, requestId: '' });
    }
  });
});

describe('DELETE /v1/jobs/{id}', () => {
  it('kills a running job and answers when its processes are dead', async () => {
    const { id } = (await post({ ...hello, stdin: 'endless' })).body;
    await eventually(async () => (await get(`/v1/jobs/${id}`)).body.status === 'running');
    const response = await del(`/v1/jobs/${id}`).expect(200);
    expect(response.body).toMatchObject({ status: 'cancelled', run: { stdout: 'endless' } });
    const again = await del(`/v1/jobs/${id}`).expect(409);
    expect(again.body).toMatchObject({ code: 'conflict' });
  });

  it('answers 202 without waiting when told not to', async () => {
    const { id } = (await post({ ...hello, stdin: 'endless' })).body;
    await eventually(async () => (await get(`/v1/jobs/${id}`)).body.status === 'running');
    await del(`/v1/jobs/${id}?wait=0`).expect(202);
    const response = await get(`/v1/jobs/${id}?wait=10`).expect(200);
    expect(response.body.status).toBe('cancelled');
  });

  it('does not know a job that is not there', async () => {
    await del(`/v1/jobs/job_${'a'.repeat(26)}`).expect(404);
  });
});
