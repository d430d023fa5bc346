/** What a run tells about itself: its stages as spans, where its job is traced, and as histograms. */
import type { TaskResult } from '../contract/task.js';
import { epochMs } from './clock.js';
import type { Metrics } from './metrics.js';
import type { RunTally } from './run-tally.js';
import type { Telemetry } from './telemetry.js';
import { NO_TRACE, type Trace } from './tracing.js';

/** The stages of a run; each is a value of a label. The time in the backlog has a metric of its own. */
export type RunStage =
  'delivery' | 'prepare' | 'box' | 'exec' | 'program' | 'account' | 'collect' | 'settle';

export interface StepReport {
  readonly name: string;
  readonly outcome: string;
  readonly image: string;
  readonly cpuTimeUs: number;
  readonly poolReady: number;
  /** When it was asked for and when its end was heard, by this process's clock. */
  readonly fromMs: number;
  readonly toMs: number;
  /** Its stages in order, from the supervisor's own timestamps. */
  readonly stages: readonly {
    readonly stage: RunStage;
    readonly fromMs: number;
    readonly toMs: number;
  }[];
}

/** What the runner of a task may tell. */
export interface RunObserver {
  stage(stage: RunStage, fromMs: number, toMs: number): void;
  step(report: StepReport): void;
}

export const NO_OBSERVER: RunObserver = { stage: () => undefined, step: () => undefined };

export interface ClaimedRun {
  readonly tenantId: string;
  readonly jobId: string;
  readonly taskId: string;
  readonly run: number;
  readonly pool: string;
  readonly executorId: string;
  readonly traceparent: string | null;
  readonly queuedAtMs: number;
  readonly admittedAtMs: number;
  /** When its claim was answered. */
  readonly claimedAtMs: number;
}

export interface RunTelemetry extends RunObserver {
  readonly traceId: string | null;
  /** What came out, before it is told to anybody. */
  ended(result: TaskResult): void;
  /** The books have it: since then, by Redis' clock, where they tell. */
  settled(status: string, atMs: number | null): void;
}

export function createRunTelemetry(telemetry: Telemetry, tally: RunTally) {
  const { metrics, tracing, tenantLabel } = telemetry;
  const poolReady = observePool(metrics);

  return function begin(claimed: ClaimedRun): RunTelemetry {
    const { tenantId, pool, queuedAtMs, admittedAtMs, claimedAtMs } = claimed;
    const tenant = tenantLabel(tenantId);
    const job = tracing.resume(claimed.traceparent);
    const trace = job === NO_TRACE ? job : openRun(job, claimed);
    measure('delivery', admittedAtMs, claimedAtMs);
    /** When what came before ended. */
    let lastMs = claimedAtMs;
    metrics.record('mayfly_queue_wait_seconds', { pool }, seconds(queuedAtMs, admittedAtMs));

    function measure(stage: RunStage, fromMs: number, toMs: number): void {
      metrics.record('mayfly_stage_duration_seconds', { stage }, seconds(fromMs, toMs));
      tally.stage(stage, seconds(fromMs, toMs));
    }

    return {
      traceId: job.traceId,
      stage(stage, fromMs, toMs) {
        lastMs = toMs;
        trace.stage(stage, fromMs, toMs);
        measure(stage, fromMs, toMs);
      },
      step(report) {
        const { name, outcome, image, fromMs, toMs } = report;
        this.stage('prepare', lastMs, fromMs);
        lastMs = toMs;
        const step = trace.stage(`step ${name}`, fromMs, toMs, { 'mayfly.outcome': outcome });
        for (const each of report.stages) {
          step.stage(each.stage, each.fromMs, each.toMs);
          measure(each.stage, each.fromMs, each.toMs);
        }
        metrics.count('mayfly_steps_total', { outcome });
        tally.outcome(outcome);
        metrics.count('mayfly_cpu_seconds_total', { tenant }, report.cpuTimeUs / 1e6);
        poolReady.set(image, report.poolReady);
      },
      ended(result) {
        if (result.status !== 'fault') return;
        metrics.count('mayfly_faults_total', { stage: result.fault.stage });
        trace.fail(`${result.fault.stage}: ${result.fault.detail}`);
      },
      settled(status, atMs) {
        const now = epochMs();
        // What comes after, until the client has it, is the reply.
        const settledMs = atMs ?? now;
        trace.stage('settle', lastMs, settledMs);
        measure('settle', lastMs, settledMs);
        metrics.count('mayfly_runs_total', { status });
        tally.run(status);
        metrics.count('mayfly_slot_seconds_total', { tenant }, seconds(claimedAtMs, now));
        trace.set({ 'mayfly.status': status });
        trace.end(now);
      },
    };
  };
}

/** How the task came here, beside its run; the run's own stages are put below it. */
function openRun(job: Trace, claimed: ClaimedRun): Trace {
  const { queuedAtMs, admittedAtMs, claimedAtMs } = claimed;
  job.stage('backlog', queuedAtMs, admittedAtMs, { 'mayfly.pool': claimed.pool });
  job.stage('delivery', admittedAtMs, claimedAtMs);
  return job.child('run', claimedAtMs, {
    'mayfly.tenant': claimed.tenantId,
    'mayfly.job': claimed.jobId,
    'mayfly.task': claimed.taskId,
    'mayfly.run': claimed.run,
    'mayfly.executor': claimed.executorId,
  });
}

/** The level of each image's pool, as the last step of it told. */
function observePool(metrics: Metrics): Map<string, number> {
  const ready = new Map<string, number>();
  metrics.observe('mayfly_pool_boxes', () =>
    [...ready].map(([image, count]) => [{ image }, count] as const),
  );
  return ready;
}

function seconds(fromMs: number, toMs: number): number {
  return Math.max(0, toMs - fromMs) / 1_000;
}
