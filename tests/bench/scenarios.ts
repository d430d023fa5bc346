/** Shapes of load with names: who posts what, how often, and beside whom. */
import { spawnSync } from 'node:child_process';

const loop = (turns: number): string => `i=0; while [ $i -lt ${turns} ]; do i=$((i+1)); done`;

/** Median: now and then a machine is faster than it stays. */
function measureTurnsPerMs(): number {
  const turns = 100_000;
  const tookMs = Array.from({ length: 9 }, () => {
    const since = performance.now();
    spawnSync('/bin/sh', ['-c', loop(turns)]);
    return performance.now() - since;
  });
  return turns / (tookMs.sort((x, y) => x - y)[4] ?? Number.NaN);
}

const TURNS_PER_MS = measureTurnsPerMs();

/** About this much CPU time on this machine, in a shell. */
export function burn(ms: number): object {
  const script = loop(Math.round(ms * TURNS_PER_MS));
  return { image: 'base', steps: [{ name: 'run', argv: ['/bin/sh', '-c', script] }] };
}

export function sleeper(seconds: number): object {
  const limits = { wallTimeMs: 30_000 };
  return { image: 'base', steps: [{ name: 'run', argv: ['/bin/sleep', String(seconds)], limits }] };
}

/** A submission that is judged by so many tests of about 20 ms. */
export function judged(tests: number): object {
  const source = `read n; ${loop(Math.round(20 * TURNS_PER_MS))}; echo $n`;
  return {
    language: 'bash',
    source,
    tests: Array.from({ length: tests }, (_, i) => ({ stdin: `${i}\n`, expectedStdout: `${i}\n` })),
  };
}

export interface Actor {
  readonly name: string;
  readonly weight?: number;
  readonly job: object;
  /** Waiting from the first moment on. */
  readonly queued?: number;
  /** How many of its jobs are under way at any time. */
  readonly clients?: number;
  /** Posts one each time, whatever becomes of the last. */
  readonly everyMs?: number;
  /** Posts no more than this. */
  readonly jobsMax?: number;
}

export interface Scenario {
  readonly about: string;
  readonly actors: readonly Actor[];
}

const students = Array.from({ length: 300 }, (_, i) => `student-${i}`);

export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  steady: {
    about: 'four tenants, five jobs of 20 ms a second each',
    actors: ['a', 'b', 'c', 'd'].map((name) => ({ name, job: burn(20), everyMs: 200 })),
  },
  burst: {
    about: 'a burst of 1,000 jobs beside one tenant that posts every 500 ms',
    actors: [
      { name: 'burst', job: burn(20), queued: 1_000 },
      { name: 'other', job: burn(20), everyMs: 500 },
    ],
  },
  class: {
    about: '300 students, three submissions each in two minutes, as one tenant',
    actors: [
      { name: 'class', job: burn(100), everyMs: 120_000 / (3 * students.length), jobsMax: 900 },
    ],
  },
  noisy: {
    about:
      'one tenant with 5,000 jobs waiting that keeps posting, beside nine that post now and then',
    actors: [
      { name: 'noisy', job: burn(20), queued: 5_000, clients: 8 },
      ...Array.from({ length: 9 }, (_, i) => ({
        name: `quiet-${i}`,
        job: burn(20),
        everyMs: 1_000,
      })),
    ],
  },
  'long-short': {
    about: 'jobs ten times as long beside short ones, weights 1 and 3, both always waiting',
    actors: [
      { name: 'long', weight: 1, job: burn(200), clients: 12 },
      { name: 'short', weight: 3, job: burn(20), clients: 24 },
    ],
  },
  'sleepers-burners': {
    about:
      'jobs that sleep a second beside jobs that burn 20 ms, equal weights, both always waiting',
    actors: [
      { name: 'sleepers', job: sleeper(1), clients: 12 },
      { name: 'burners', job: burn(20), clients: 12 },
    ],
  },
  alone: {
    about: 'one tenant that always has jobs waiting',
    actors: [{ name: 'alone', job: burn(20), clients: 12 }],
  },
};
