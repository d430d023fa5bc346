/**
 * `npm run bench:noisy -- [--part NAME,…] [--phase SECONDS] [--queued N] [--json]`: what a tenant notices of another.
 * Without --part all of them, in about twenty minutes; each on a stack of its own with two slots.
 *
 * burn, judge, idle, sleep10s: B posts now and then, beside an A with 20,000 tasks waiting that keeps posting.
 * weights: 3:1, both always waiting, lengths 10 x apart. alone: one tenant, and the share of slots it gets.
 */
import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import { startTestStack, type TestStack } from '../helpers/stack.js';
import { describeMachine } from './machine.js';
import { measureNeighbour } from './neighbour.js';
import { playScenario, rounded, SLOTS } from './play-scenario.js';
import { burn, judged, SCENARIOS, sleeper, type Actor } from './scenarios.js';

const ROUNDS = 3;
const TESTS_EACH = 100;
/** The longest slice there is: 500 ms by estimate. */
const SLICE_MS = 500;
const NAP_SECONDS = 10;

interface Size {
  readonly queued: number;
  readonly phaseSeconds: number;
}

interface Outcome {
  readonly reached: number;
  readonly goal: string;
  readonly met: boolean;
  readonly detail: object;
}

type Part = (stack: TestStack, size: Size) => Promise<Outcome>;

const neighbour =
  (
    job: object,
    tasksEach: number,
    judge: (times: number, moreMs: number) => Omit<Outcome, 'detail'>,
  ): Part =>
  async (stack, { queued, phaseSeconds }) => {
    const jobs = Math.ceil(queued / tasksEach);
    const detail = await measureNeighbour(stack, {
      job,
      queued: jobs,
      phaseSeconds,
      rounds: ROUNDS,
    });
    const { reached, goal, met } = judge(detail.times, detail.moreMs);
    return { reached: rounded(reached), goal, met: met && detail.left > 0, detail };
  };

/** B's p95 is so many times what it is alone. */
const timesAtMost = (max: number) => (times: number) => ({
  reached: times,
  goal: `${max} x B's p95 alone`,
  met: times <= max,
});

/** B waits for what runs when it comes, and no longer. */
const moreAtMost = (maxMs: number, what: string) => (_times: number, moreMs: number) => ({
  reached: moreMs,
  goal: `${maxMs} ms more than alone (${what})`,
  met: moreMs <= maxMs,
});

function actorsOf(name: string): readonly Actor[] {
  const scenario = SCENARIOS[name];
  if (scenario === undefined) throw new Error(`there is no scenario ${name}`);
  return scenario.actors;
}

const PARTS: Readonly<Record<string, Part>> = {
  burn: neighbour(burn(20), 1, timesAtMost(2.5)),
  judge: neighbour(judged(TESTS_EACH), TESTS_EACH, moreAtMost(SLICE_MS, 'a slice')),
  // Takes a slot for as long as burn does, and nothing by CPU.
  idle: neighbour(sleeper(0.02), 1, timesAtMost(2.5)),
  sleep10s: neighbour(sleeper(NAP_SECONDS), 1, moreAtMost(NAP_SECONDS * 1_000, 'the running step')),
  async weights(stack) {
    const { tenants } = await playScenario(stack, actorsOf('long-short'), 60, 10);
    const share = (name: string): number =>
      tenants.find((each) => each.name === name)?.slotShare ?? 0;
    const ratio = share('short') / share('long');
    const goal = '3 : 1 of slot time within 5 %';
    return {
      reached: rounded(ratio),
      goal,
      met: Math.abs(ratio / 3 - 1) <= 0.05,
      detail: { tenants },
    };
  },
  async alone(stack) {
    const { slotShareOfAll, tenants } = await playScenario(stack, actorsOf('alone'), 30, 10);
    return {
      reached: slotShareOfAll,
      goal: '0.95 of the slots',
      met: slotShareOfAll >= 0.95,
      detail: { tenants },
    };
  },
};

const { values } = parseArgs({
  options: {
    part: { type: 'string', default: Object.keys(PARTS).join(',') },
    phase: { type: 'string', default: '20' },
    queued: { type: 'string', default: '20000' },
    json: { type: 'boolean', default: false },
  },
});
const names = values.part.split(',');
const size = { queued: Number(values.queued), phaseSeconds: Number(values.phase) };
if (names.some((name) => !(name in PARTS)) || !(size.queued >= 1) || !(size.phaseSeconds >= 1)) {
  process.stderr.write(`--part is of ${Object.keys(PARTS).join(', ')}\n`);
  process.exit(2);
}

const machine = describeMachine();
const parts: (Outcome & { readonly part: string })[] = [];
for (const part of names) {
  const env = { MAYFLY_SLOTS: String(SLOTS), MAYFLY_LOG_LEVEL: 'warn' };
  const stack = await startTestStack(env, { key: randomUUID(), port: 0 });
  try {
    const outcome = await PARTS[part]?.(stack, size);
    if (outcome === undefined) continue;
    parts.push({ part, ...outcome });
    const { reached, goal, met, detail } = outcome;
    const line = `${part}: ${reached}; goal ${goal}: ${met ? 'met' : 'MISSED'}\n  ${JSON.stringify(detail)}\n`;
    if (!values.json) process.stdout.write(line);
  } finally {
    await stack.stop();
  }
}
if (values.json) process.stdout.write(`${JSON.stringify({ machine, ...size, parts }, null, 1)}\n`);
process.exit(0);
