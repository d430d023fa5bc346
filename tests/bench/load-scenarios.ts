/**
 * `npm run bench:load -- --scenario NAME [--seconds N] [--warm-up N] [--json]`: a shape of load on the whole
 * stack, several tenants at once; per tenant the wait, the whole request, the rate, and the share of slot time.
 */
import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import { startTestStack } from '../helpers/stack.js';
import { describeMachine } from './machine.js';
import { playScenario, rounded, SLOTS } from './play-scenario.js';
import { SCENARIOS } from './scenarios.js';

const { values } = parseArgs({
  options: {
    scenario: { type: 'string', default: 'steady' },
    seconds: { type: 'string', default: '30' },
    'warm-up': { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
  },
});
const scenario = SCENARIOS[values.scenario];
if (scenario === undefined) {
  process.stderr.write(`--scenario must be one of ${Object.keys(SCENARIOS).join(', ')}\n`);
  process.exit(2);
}
const stack = await startTestStack(
  { MAYFLY_SLOTS: String(SLOTS), MAYFLY_LOG_LEVEL: 'warn' },
  { key: randomUUID(), port: 0 },
);
try {
  const result = await playScenario(
    stack,
    scenario.actors,
    Number(values.seconds),
    Number(values['warm-up']),
  );
  if (values.json) {
    const report = { scenario: values.scenario, machine: describeMachine(), ...result };
    process.stdout.write(`${JSON.stringify(report)}\n`);
  } else {
    process.stdout.write(`${values.scenario}: ${scenario.about}\n`);
    process.stdout.write(`slots in use: ${rounded(100 * result.slotShareOfAll)} %\n`);
    console.table(
      result.tenants.map(({ wait, request, slotShare, answers: _answers, ...tenant }) => ({
        ...tenant,
        slotShare: rounded(slotShare),
        'wait p50/p95/p99 ms': `${wait.p50Ms} / ${wait.p95Ms} / ${wait.p99Ms}`,
        'request p95 ms': request.p95Ms,
      })),
    );
  }
} finally {
  await stack.stop();
}
process.exit(0);
