/**
 * `npm run bench:warm -- [--json] [--rounds N]`: what a job of an interpreter costs that had started before it came, and
 * what one that has to start it, above `/bin/true`; in turns, on one installation. And what each that waits holds.
 *
 * A job that asks for an environment of its own starts its interpreter (docs/adr/0024): that is the cold one.
 */
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startStack, type Stack } from '../../infra/start/stack.js';
import { childrenOf, programOf } from '../helpers/processes.js';
import { createJobClient } from './job-client.js';
import { describeMachine } from './machine.js';
import { Samples } from './samples.js';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '60' },
  },
});

const env = { START: 'anew' };
const SUBJECTS = {
  '/bin/true': { image: 'base', steps: [{ name: 'run', argv: ['/bin/true'] }] },
  'python warm': { language: 'python', source: 'print(1)' },
  'python cold': { language: 'python', source: 'print(1)', env },
  'node warm': { language: 'javascript', source: 'console.log(1)' },
  'node cold': { language: 'javascript', source: 'console.log(1)', env },
} as const;
type Subject = keyof typeof SUBJECTS;
const NAMES = Object.keys(SUBJECTS) as Subject[];
const COMMANDS: Readonly<Record<string, string>> = { python3: 'python', node: 'node' };

/** Until what was used is made again, on a machine that is not busy. */
const REFILL_MS = 250;
const WARM_UP = 5;

function kib(pid: number, field: RegExp): number {
  return Number(field.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0);
}

interface Held {
  /** Its own, with its share of what others have mapped as well, and pid 1 of its box with it. */
  readonly pssMib: number;
  /** What nobody else has. */
  readonly ownMib: number;
}

/** Of the interpreters that wait: grandchildren of the box maker, which is the supervisor's only child. */
function held(stack: Stack): Record<string, Held> {
  const supervisors = childrenOf(stack.executor.pid() ?? 0);
  const found: Record<string, Held> = {};
  for (const init of supervisors.flatMap(childrenOf).flatMap(childrenOf)) {
    for (const pid of childrenOf(init)) {
      const name = COMMANDS[programOf(pid)];
      if (name === undefined) continue;
      const sum = (field: RegExp): number => (kib(pid, field) + kib(init, field)) / 1_024;
      const own = sum(/^Private_Clean: +(\d+)/m) + sum(/^Private_Dirty: +(\d+)/m);
      found[name] = { pssMib: sum(/^Pss: +(\d+)/m), ownMib: own };
    }
  }
  for (const name of Object.values(COMMANDS)) {
    if (found[name] === undefined) throw new Error(`no ${name} waits`);
  }
  return found;
}

async function measure(stack: Stack, rounds: number) {
  const client = createJobClient(stack.url, stack.apiKey);
  const times = new Map(NAMES.map((name) => [name, new Samples()]));
  await sleep(2_000);
  for (let round = -WARM_UP; round < rounds; round += 1) {
    for (const name of NAMES) {
      const { ms } = await client.run(JSON.stringify(SUBJECTS[name]));
      if (round >= 0) times.get(name)?.add(ms);
      await sleep(REFILL_MS);
    }
  }
  const memory = held(stack);
  client.close();
  const p50 = (name: Subject): number => times.get(name)?.percentile(0.5) ?? NaN;
  const jobs = NAMES.map((name) => ({
    name,
    p50Ms: p50(name),
    p95Ms: times.get(name)?.percentile(0.95) ?? NaN,
    aboveTrueMs: p50(name) - p50('/bin/true'),
  }));
  return { machine: describeMachine(), rounds, jobs, memory };
}

const directory = mkdtempSync(join(tmpdir(), 'mayfly-bench-'));
const stack = await startStack({
  redisDir: join(directory, 'redis'),
  port: 0,
  apiKey: null,
  admin: null,
  env: { MAYFLY_LOG_LEVEL: 'warn' },
  output: openSync('/dev/null', 'w'),
  report: () => undefined,
});
try {
  const result = await measure(stack, Number(values.rounds));
  if (values.json) {
    process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  } else {
    for (const { name, p50Ms, p95Ms, aboveTrueMs } of result.jobs) {
      const figures = [p50Ms, p95Ms, aboveTrueMs].map((ms) => ms.toFixed(2).padStart(8));
      process.stdout.write(
        `${name.padEnd(12)} p50, p95, above /bin/true ${figures.join(' ')} ms\n`,
      );
    }
    for (const [name, { pssMib, ownMib }] of Object.entries(result.memory)) {
      process.stdout.write(
        `${name} waits in ${pssMib.toFixed(1)} MiB, ${ownMib.toFixed(1)} its own\n`,
      );
    }
  }
} finally {
  await stack.stop();
  rmSync(directory, { recursive: true });
}
