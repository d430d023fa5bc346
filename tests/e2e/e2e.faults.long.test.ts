/** `npm run test:faults`: FAULTS_SEED repeats a run, FAULTS_SECONDS and FAULTS_STRIKES change its size. */
import { expect, it } from 'vitest';
import { runFaults } from '../faults/run.js';

const { FAULTS_SEED, FAULTS_SECONDS, FAULTS_STRIKES, FAULTS_JOBS } = process.env;

it('loses no job and ends none twice in minutes of strikes', async () => {
  const seed = Number(FAULTS_SEED ?? Math.floor(Math.random() * 2 ** 31));
  console.log(`FAULTS_SEED=${seed}`);
  const report = await runFaults({
    seed,
    strikesOfEach: Number(FAULTS_STRIKES ?? 10),
    jobsWaiting: Number(FAULTS_JOBS ?? 2_000),
    ms: Number(FAULTS_SECONDS ?? 300) * 1_000,
    slots: 4,
  });
  console.log(JSON.stringify(report, null, 1));
  expect(report).toMatchObject({ lost: [], wrong: [], endedTwice: [], violations: [] });
  expect(report).toMatchObject({ inflight: 0, running: 0, neverInABox: 0 });
  expect(report.ranAgain).toBeGreaterThan(0);
  expect(report.againAfterKillMs.length).toBeGreaterThan(0);
  expect(Math.max(...report.againAfterKillMs)).toBeLessThanOrEqual(10_000);
}, 1_200_000);
