/** What an executor has done since it started, in a few numbers that it can tell every second. */
import type { Tally } from '../contract/overview.js';

export interface RunTally {
  run(status: string): void;
  outcome(outcome: string): void;
  stage(stage: string, seconds: number): void;
  read(): Tally;
}

function increment(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

export function createRunTally(): RunTally {
  const runs = new Map<string, number>();
  const outcomes = new Map<string, number>();
  const stages = new Map<string, { count: number; seconds: number }>();
  return {
    run: (status) => increment(runs, status),
    outcome: (outcome) => increment(outcomes, outcome),
    stage(stage, seconds) {
      const known = stages.get(stage) ?? { count: 0, seconds: 0 };
      known.count += 1;
      known.seconds += seconds;
      stages.set(stage, known);
    },
    read: () => ({
      runs: Object.fromEntries(runs),
      outcomes: Object.fromEntries(outcomes),
      stages: Object.fromEntries(
        [...stages].map(([stage, { count, seconds }]) => [stage, { count, seconds }]),
      ),
    }),
  };
}

export function sumTallies(tallies: readonly Tally[]): Tally {
  const total: Tally = { runs: {}, outcomes: {}, stages: {} };
  const add = (into: Record<string, number>, from: Readonly<Record<string, number>>): void => {
    for (const [name, count] of Object.entries(from)) into[name] = (into[name] ?? 0) + count;
  };
  for (const { runs, outcomes, stages } of tallies) {
    add(total.runs, runs);
    add(total.outcomes, outcomes);
    for (const [stage, { count, seconds }] of Object.entries(stages)) {
      const known = total.stages[stage] ?? { count: 0, seconds: 0 };
      total.stages[stage] = { count: known.count + count, seconds: known.seconds + seconds };
    }
  }
  return total;
}
