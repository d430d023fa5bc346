/**
 * `npm run bench:stream -- [--json] [--runs N]`: how late output is, and whether all readers get the same.
 *
 * 1. From a program's write to its first byte at a client of the events, one job each.
 * 2. Whether who comes late and who resumes gets the same bytes.
 *
 * What jobs pay that nobody watches is in unwatched.ts.
 */
import { mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startStack, type Stack } from '../../infra/start/stack.js';
import { readEvents, type EventTarget } from '../helpers/events.js';
import { describeMachine } from './machine.js';
import { Samples } from './samples.js';

const STATE_DIR = process.env['MAYFLY_STATE_DIR'] ?? '/var/lib/mayfly';

/** Says when it writes, by the clock that the box shares with us. */
const STAMP = `import os, time
time.sleep(0.06)
os.write(1, b"%.6f\\n" % time.time())
time.sleep(0.02)
`;
const TALK = `import sys, time
for i in range(60):
    print("line", i, "x" * 700, flush=True)
    print("err", i, file=sys.stderr, flush=True)
    time.sleep(0.004)
`;

async function start(directory: string): Promise<Stack> {
  return await startStack({
    redisDir: join(directory, 'redis'),
    port: 0,
    apiKey: null,
    admin: null,
    env: { MAYFLY_STATE_DIR: STATE_DIR, MAYFLY_LOG_LEVEL: 'warn' },
    output: openSync('/dev/null', 'a'),
    report: () => undefined,
  });
}

async function submit({ url, apiKey }: EventTarget, source: string): Promise<string> {
  const response = await fetch(`${url}/v1/jobs`, {
    method: 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ language: 'python', source }),
  });
  return ((await response.json()) as { id: string }).id;
}

async function firstByte(target: EventTarget): Promise<number> {
  const reader = await readEvents(target, await submit(target, STAMP));
  const { data, atMs } = await reader.until(({ event }) => event === 'stdout');
  await reader.ended;
  const wroteMs = Number(Buffer.from(String(data['data']), 'base64').toString()) * 1_000;
  return performance.timeOrigin + atMs - wroteMs;
}

/** Whether three readers, who came at different times, put together the same. */
async function sameBytes(target: EventTarget): Promise<boolean> {
  const id = await submit(target, TALK);
  const first = await readEvents(target, id);
  const some = await first.until(
    ({ event, data }) => event === 'stdout' && Number(data['offset']) > 5_000,
  );
  const late = await readEvents(target, id);
  const resumed = await readEvents(target, id, some.id ?? '');
  await Promise.all([first.ended, late.ended, resumed.ended]);
  const before = { ...first, events: first.events.slice(0, first.events.indexOf(some) + 1) };
  return (['stdout', 'stderr'] as const).every((stream) => {
    const whole = first.text(stream);
    const head = before.events
      .filter(({ event }) => event === stream)
      .map(({ data }) => Buffer.from(String(data['data']), 'base64').toString())
      .join('');
    return late.text(stream) === whole && head + resumed.text(stream) === whole;
  });
}

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    runs: { type: 'string', default: '200' },
  },
});
const runs = Number(options.runs);

const directory = mkdtempSync(join(tmpdir(), 'mayfly-bench-'));
const machine = describeMachine();
const stack = await start(directory);
try {
  const latency = new Samples();
  for (let run = -5; run < runs; run += 1) {
    const ms = await firstByte(stack);
    if (run >= 0) latency.add(ms);
  }
  let same = 0;
  const comparisons = Math.min(20, runs);
  for (let run = 0; run < comparisons; run += 1) same += (await sameBytes(stack)) ? 1 : 0;

  const report = {
    machine,
    firstByteMs: {
      runs,
      p50: latency.percentile(0.5),
      p95: latency.percentile(0.95),
      max: latency.percentile(1),
    },
    sameBytes: { runs: comparisons, same },
  };
  process.stdout.write(`${JSON.stringify(report, null, options.json ? 0 : 2)}\n`);
} finally {
  await stack.stop();
  rmSync(directory, { recursive: true });
}
