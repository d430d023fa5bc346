/** Jobs in several shapes of load. Every run is bounded in time and in number. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Measured } from './job-client.js';
import { Samples } from './samples.js';

export class JobSamples {
  readonly request = new Samples();
  readonly queued = new Samples();
  readonly box = new Samples();

  add({ ms, queuedMs, boxMs }: Measured): void {
    this.request.add(ms);
    this.queued.add(queuedMs);
    this.box.add(boxMs);
  }
}

export interface Load {
  readonly samples: JobSamples;
  readonly perSecond: number;
}

export interface Bounds {
  readonly ms: number;
  readonly jobs: number;
}

/** A closed loop: each client posts its next job when it has the result of the last. */
export async function saturate(
  run: () => Promise<Measured>,
  clients: number,
  bounds: Bounds,
): Promise<Load> {
  const samples = new JobSamples();
  const since = performance.now();
  let asked = 0;
  const client = async (): Promise<void> => {
    while (asked < bounds.jobs && performance.now() - since < bounds.ms) {
      asked += 1;
      samples.add(await run());
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return { samples, perSecond: rate(samples, since) };
}

/**
 * An open loop: jobs at a given rate whatever becomes of them, evenly spaced or (`random`) as independent
 * clients would send them. A job's time counts from when it was due, so that a stall is not hidden.
 */
export async function offer(
  run: () => Promise<Measured>,
  perSecond: number,
  random: boolean,
  bounds: Bounds,
): Promise<Load> {
  const samples = new JobSamples();
  const since = performance.now();
  const running: Promise<void>[] = [];
  for (let dueMs = 0; dueMs < bounds.ms && running.length < bounds.jobs;) {
    const early = dueMs - (performance.now() - since);
    if (early > 0) await sleep(early);
    const late = Math.max(performance.now() - since - dueMs, 0);
    // Timers are a millisecond coarse; within that, the job was sent when it was due.
    const lateness = late < TIMER_MS ? 0 : late;
    running.push(run().then((job) => samples.add({ ...job, ms: job.ms + lateness })));
    dueMs += (1_000 / perSecond) * (random ? -Math.log(1 - Math.random()) : 1);
  }
  await Promise.all(running);
  return { samples, perSecond: rate(samples, since) };
}

const TIMER_MS = 2;

function rate(samples: JobSamples, since: number): number {
  return (1_000 * samples.request.count) / (performance.now() - since);
}
