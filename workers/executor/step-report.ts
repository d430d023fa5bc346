/** A step as telemetry shows it: its stages in the supervisor's own timestamps, put into our clock. */
import { epochMs, epochMsOf } from '../../services/platform/clock.js';
import type { StepReport } from '../../services/platform/run-telemetry.js';
import type { StepEnd } from './sandbox.js';

export function stepReport(name: string, image: string, askedMs: number, end: StepEnd): StepReport {
  const heardMs = epochMs();
  const startedMs = epochMsOf(end.startedAtUs);
  const executedMs = end.executedAtUs === null ? startedMs : epochMsOf(end.executedAtUs);
  const endedMs = epochMsOf(end.endedAtUs);
  return {
    name,
    image,
    outcome: end.outcome,
    cpuTimeUs: end.cpuTimeUs,
    poolReady: end.poolReady,
    fromMs: askedMs,
    toMs: heardMs,
    stages: [
      { stage: 'box', fromMs: askedMs, toMs: startedMs },
      { stage: 'exec', fromMs: startedMs, toMs: executedMs },
      { stage: 'program', fromMs: executedMs, toMs: endedMs },
      { stage: 'account', fromMs: endedMs, toMs: heardMs },
    ],
  };
}
