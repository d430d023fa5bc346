// Every query of the dashboard returns data from a Prometheus that scrapes a real load.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../helpers/eventually.js';
import { freePorts } from '../helpers/free-ports.js';
import { startTestStack, type TestStack } from '../helpers/stack.js';

const source = join(import.meta.dirname, '..', '..', 'infra/observability');
const directory = mkdtempSync(join(tmpdir(), 'mayfly-prometheus-'));
let stack: TestStack;
let prometheus: ChildProcess;
let url: string;

beforeAll(async () => {
  const port = await freePorts(3);
  url = `http://127.0.0.1:${port + 2}`;
  stack = await startTestStack({ MAYFLY_METRICS_PORT: String(port) });
  const config = readFileSync(join(source, 'prometheus.yml'), 'utf8')
    .replace('9464', String(port))
    .replace('9465', String(port + 1))
    .replace('scrape_interval: 10s', 'scrape_interval: 1s');
  writeFileSync(join(directory, 'prometheus.yml'), config);
  copyFileSync(join(source, 'rules.yml'), join(directory, 'rules.yml'));
  prometheus = spawn(
    'prometheus',
    [
      `--config.file=${directory}/prometheus.yml`,
      `--storage.tsdb.path=${directory}/data`,
      `--web.listen-address=127.0.0.1:${port + 2}`,
    ],
    { stdio: 'ignore' },
  );
  await eventually(
    async () => (await fetch(`${url}/-/ready`).catch(() => null))?.ok === true,
    60_000,
  );
});

afterAll(async () => {
  prometheus.kill('SIGKILL');
  await stack.stop();
  rmSync(directory, { recursive: true, force: true });
});

async function query(expr: string): Promise<{ metric: object; value: [number, string] }[]> {
  const response = await fetch(`${url}/api/v1/query?query=${encodeURIComponent(expr)}`);
  const body = (await response.json()) as {
    status: string;
    error?: string;
    data: { result: { metric: object; value: [number, string] }[] };
  };
  expect(body.status, `${expr}: ${body.error ?? ''}`).toBe('success');
  return body.data.result;
}

const jobs = [
  { language: 'python', source: 'print(1)', collect: ['*.txt'] },
  { language: 'c', source: 'int main(void) { return 0; }' },
  { language: 'python', source: 'while True: pass', limits: { cpuTimeMs: 200 } },
  { language: 'bash', source: 'kill -SEGV $$' },
];

/** Some rates need two scrapes that differ, so the load goes on until everything was seen. */
async function load(forMs: number): Promise<void> {
  const until = Date.now() + forMs;
  while (Date.now() < until) await Promise.all(jobs.map((job) => stack.submit(job, 30)));
}

describe('dashboard and rules', () => {
  it('promtool finds nothing wrong', () => {
    execFileSync('promtool', ['check', 'rules', join(source, 'rules.yml')]);
    execFileSync('promtool', ['check', 'config', join(directory, 'prometheus.yml')]);
  });

  it('every query of the dashboard returns data', async () => {
    await load(15_000);
    const { panels } = JSON.parse(readFileSync(join(source, 'dashboards/mayfly.json'), 'utf8')) as {
      panels: { title: string; targets?: { expr: string }[] }[];
    };
    const queries = panels.flatMap(({ title, targets = [] }) =>
      targets.map(({ expr }) => ({ title, expr: expr.replaceAll('$__rate_interval', '10s') })),
    );
    expect(queries.length).toBeGreaterThan(20);
    const empty: string[] = [];
    for (const { title, expr } of queries) {
      const result = await query(expr);
      const numbers = result.filter(({ value }) => Number.isFinite(Number(value[1])));
      if (numbers.length === 0) empty.push(`${title}: ${expr}`);
    }
    expect(empty).toEqual([]);
  });

  it('no alert fires on a healthy system, and the rules are evaluated', async () => {
    const response = await fetch(`${url}/api/v1/rules`);
    const { data } = (await response.json()) as {
      data: { groups: { rules: { name: string; health: string; state: string }[] }[] };
    };
    const rules = data.groups.flatMap((group) => group.rules);
    expect(rules.length).toBeGreaterThan(10);
    await eventually(async () => (await query('ALERTS{alertstate="firing"}')).length === 0, 20_000);
  });

  it('a stopped executor is seen', async () => {
    expect(Number((await query('sum(mayfly_executors)'))[0]?.value[1])).toBe(1);
    await stack.stack.executor.stop(45_000);
    await eventually(
      async () => Number((await query('max by (pool) (mayfly_executors) == 0'))[0]?.value[1]) === 0,
      30_000,
    );
  });
});
