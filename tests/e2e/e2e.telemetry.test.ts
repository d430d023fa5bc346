// A job's trace, as a collector receives it, and the metrics, as Prometheus does.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { METRICS } from '../../services/platform/metrics.js';
import { eventually } from '../helpers/eventually.js';
import { freePorts } from '../helpers/free-ports.js';
import {
  startOtlpReceiver,
  type OtlpReceiver,
  type ReceivedSpan,
} from '../helpers/otlp-receiver.js';
import { startTestStack, type TestStack } from '../helpers/stack.js';

let receiver: OtlpReceiver;
let stack: TestStack;
let metricsPort: number;

beforeAll(async () => {
  receiver = await startOtlpReceiver();
  metricsPort = await freePorts(2);
  stack = await startTestStack({
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_BSP_SCHEDULE_DELAY: '100',
    OTEL_METRIC_EXPORT_INTERVAL: '500',
    MAYFLY_METRICS_PORT: String(metricsPort),
    MAYFLY_LOG_LEVEL: 'info',
  });
});

afterAll(async () => {
  await stack.stop();
  await receiver.close();
});

interface Client {
  readonly traceId: string;
  readonly traceparent: string;
}

function newClient(): Client {
  const traceId = randomBytes(16).toString('hex');
  return { traceId, traceparent: `00-${traceId}-${randomBytes(8).toString('hex')}-01` };
}

async function post(job: object, client: Client, wait = 30): Promise<Response> {
  return await fetch(`${stack.stack.url}/v1/jobs?wait=${wait}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${stack.stack.apiKey}`,
      'content-type': 'application/json',
      traceparent: client.traceparent,
    },
    body: JSON.stringify(job),
  });
}

async function traceOf({ traceId }: Client, last: readonly string[]): Promise<ReceivedSpan[]> {
  const spans = (): ReceivedSpan[] => receiver.spans.filter((span) => span.traceId === traceId);
  await eventually(() => last.every((name) => spans().some((span) => span.name === name)));
  return spans();
}

function named(spans: readonly ReceivedSpan[], name: string): ReceivedSpan {
  const found = spans.filter((span) => span.name === name);
  expect(found, name).toHaveLength(1);
  return found[0] as ReceivedSpan;
}

const lengthMs = ({ startMs, endMs }: ReceivedSpan): number => endMs - startMs;

const ROOT = 'POST /v1/jobs';
const STAGES = [
  'accept',
  'backlog',
  'delivery',
  'prepare',
  'box',
  'exec',
  'program',
  'account',
  'settle',
  'reply',
];

describe("a job's trace", () => {
  it('has every stage in one tree, and the stages are the whole of the time', async () => {
    // The first request loads what later ones find loaded.
    for (let i = 0; i < 3; i += 1) await post({ language: 'python', source: 'pass' }, newClient());
    const shares: number[] = [];
    for (let i = 0; i < 5; i += 1) {
      const client = newClient();
      const answer = await post({ language: 'python', source: 'print(1)' }, client);
      expect(answer.status).toBe(200);
      const spans = await traceOf(client, [ROOT, 'run', 'settle']);
      const ids = new Map(spans.map((span) => [span.spanId, span]));
      const root = named(spans, ROOT);
      expect(client.traceparent).toContain(root.parentId);
      for (const span of spans) {
        if (span !== root) expect(ids.has(span.parentId), `parent of ${span.name}`).toBe(true);
      }
      expect(new Set(spans.map(({ service }) => service))).toEqual(
        new Set(['mayfly-api', 'mayfly-executor']),
      );
      shares.push(
        STAGES.reduce((sum, name) => sum + lengthMs(named(spans, name)), 0) / lengthMs(root),
      );
    }
    for (const share of shares) expect(Math.abs(share - 1), shares.join(' ')).toBeLessThan(0.05);
  });

  it('is told to the client and to the logs, beside the job', async () => {
    const client = newClient();
    const answer = await post({ language: 'bash', source: 'echo hi' }, client);
    expect(answer.headers.get('traceresponse')).toContain(client.traceId);
    const { id } = (await answer.json()) as { id: string };
    const lines = (): Record<string, unknown>[] =>
      stack
        .log()
        .split('\n')
        .filter((line) => line.includes(client.traceId))
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    await eventually(() => lines().some((line) => line['service'] === 'executor'));
    await eventually(() => lines().some((line) => line['service'] === 'api'));
    for (const line of lines()) expect(line['jobId']).toBe(id);
    const spans = await traceOf(client, ['run']);
    expect(named(spans, 'run').attributes).toMatchObject({
      'mayfly.job': id,
      'mayfly.status': 'finished',
    });
  });

  it('is not recorded when the client says so, and idle polling makes none', async () => {
    const client = newClient();
    await post(
      { language: 'bash', source: 'echo hi' },
      { ...client, traceparent: client.traceparent.replace(/01$/, '00') },
    );
    const before = receiver.spans.length;
    // Longer than heartbeats, reconcilers, stalled checks and the batches of spans take.
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(receiver.spans.filter(({ traceId }) => traceId === client.traceId)).toEqual([]);
    expect(receiver.spans.slice(before)).toEqual([]);
  });
});

describe('metrics', () => {
  async function scrape(port: number): Promise<string> {
    return await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  }

  it('are those of the table, with small closed sets of labels', async () => {
    await post(
      { language: 'python', source: 'while True: pass', limits: { cpuTimeMs: 100 } },
      newClient(),
    );
    const text = (await scrape(metricsPort)) + (await scrape(metricsPort + 1));
    const names = new Set(
      [...text.matchAll(/^# TYPE (mayfly_\w+) /gm)].map((match) => match[1] ?? ''),
    );
    expect([...names].filter((name) => !(name in METRICS))).toEqual([]);
    expect(text).toMatch(/mayfly_steps_total\{outcome="cpu_limit"\} [1-9]/);
    expect(text).toMatch(/mayfly_slots\{pool="default"\} [1-9]/);
    expect(text).toMatch(
      /mayfly_http_request_duration_seconds_count\{method="POST",route="\/v1\/jobs",status="200"\} \d/,
    );
    expect(text).toMatch(/mayfly_cpu_seconds_total\{tenant="other"\} 0\.\d/);
    expect(text).not.toMatch(/job_[a-z2-7]{26}|task_|run-/);
  });

  it('are pushed over OTLP as well where an endpoint is set', async () => {
    await eventually(() => receiver.metrics.has('mayfly_runs_total'));
    await eventually(() => receiver.metrics.has('mayfly_backlog_tasks'));
  });
});
