/** Twenty seconds of what `npm run test:faults` does for minutes: every kind of strike once. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { createClock } from '../faults/clock.js';
import { runFaults } from '../faults/run.js';

it('sets the clock of one process, and not how fast time passes for it', () => {
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-clock-'));
  const clock = createClock(join(directory, 'clock'));
  clock.set(-3_600);
  const clocks = "Date.now() + ' ' + process.hrtime.bigint() / 1_000_000n";
  const [command, ...args] = clock.of([process.execPath, '-p', clocks]);
  const shown = execFileSync(command, args);
  const [wallMs, monotonicMs] = shown.toString().split(' ').map(Number);
  expect(Date.now() - Number(wallMs)).toBeGreaterThan(3_590_000);
  const passedMs = Number(process.hrtime.bigint() / 1_000_000n) - Number(monotonicMs);
  expect(passedMs).toBeGreaterThanOrEqual(0);
  expect(passedMs).toBeLessThan(3_590_000);
  rmSync(directory, { recursive: true });
});

it('loses no job and ends none twice while everything is struck once', async () => {
  const report = await runFaults({
    seed: 20_261_125,
    strikesOfEach: 1,
    jobsWaiting: 100,
    ms: 20_000,
    slots: 2,
  });
  console.log(JSON.stringify(report));
  expect(report).toMatchObject({ lost: [], wrong: [], endedTwice: [], violations: [] });
  expect(report).toMatchObject({ inflight: 0, running: 0, neverInABox: 0 });
  expect(report.accepted).toBeGreaterThan(100);
  expect(report.ranAgain).toBeGreaterThan(0);
  expect(report.againAfterKillMs.length).toBeGreaterThan(0);
  expect(Math.max(...report.againAfterKillMs)).toBeLessThanOrEqual(10_000);
}, 300_000);
