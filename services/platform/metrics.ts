/**
 * The one table of metrics: the names are those that Prometheus shows. Labels are from small closed
 * sets: never an id, and a tenant only when the operator named it (MAYFLY_METRICS_TENANTS).
 */
import { createNoopMeter, type Meter } from '@opentelemetry/api';

interface Definition {
  readonly kind: 'counter' | 'histogram' | 'gauge';
  readonly help: string;
  readonly labels: readonly string[];
  readonly buckets?: readonly number[];
}

/** Of stages: from tens of microseconds to the longest a job may take. */
const STAGE_SECONDS = [
  0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60,
];
const REQUEST_SECONDS = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60];
const REDIS_SECONDS = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1, 2];

export const METRICS = {
  mayfly_http_request_duration_seconds: {
    kind: 'histogram',
    help: 'From the first byte of a request to the last of its answer, waiting included.',
    labels: ['method', 'route', 'status'],
    buckets: REQUEST_SECONDS,
  },
  mayfly_submissions_total: {
    kind: 'counter',
    help: 'Jobs that were asked for: accepted, or the code of the problem that refused them.',
    labels: ['result'],
  },
  mayfly_backlog_tasks: {
    kind: 'gauge',
    help: 'Tasks that wait in the backlogs of their tenants.',
    labels: ['pool'],
  },
  mayfly_inflight_tasks: {
    kind: 'gauge',
    help: 'Tasks that are admitted: they hold a slot.',
    labels: ['pool'],
  },
  mayfly_delayed_tasks: {
    kind: 'gauge',
    help: 'Tasks that wait to be tried again after a fault.',
    labels: ['pool'],
  },
  mayfly_slots: { kind: 'gauge', help: 'Slots of the live executors.', labels: ['pool'] },
  mayfly_executors: {
    kind: 'gauge',
    help: 'Executors that announce themselves.',
    labels: ['pool'],
  },
  mayfly_fenced_total: {
    kind: 'counter',
    help: 'Ends told by runs that another executor had taken over: refused.',
    labels: [],
  },
  mayfly_redis_call_duration_seconds: {
    kind: 'histogram',
    help: 'Round trip of a scheduler script or of a ping.',
    labels: ['call'],
    buckets: REDIS_SECONDS,
  },
  mayfly_redis_memory_bytes: { kind: 'gauge', help: 'Memory that Redis uses.', labels: [] },
  mayfly_redis_memory_bytes_max: { kind: 'gauge', help: 'Its maxmemory.', labels: [] },
  mayfly_redis_up: { kind: 'gauge', help: '1 when Redis answered the last look.', labels: [] },
  mayfly_callbacks_total: {
    kind: 'counter',
    help: 'Attempts to deliver a callback, by how they ended.',
    labels: ['result'],
  },
  mayfly_queue_wait_seconds: {
    kind: 'histogram',
    help: 'From the backlog to a slot.',
    labels: ['pool'],
    buckets: STAGE_SECONDS,
  },
  mayfly_stage_duration_seconds: {
    kind: 'histogram',
    help: 'Stages of a run: delivery, prepare, box, exec, program, account, collect, settle.',
    labels: ['stage'],
    buckets: STAGE_SECONDS,
  },
  mayfly_runs_total: {
    kind: 'counter',
    help: 'Runs of tasks by how they ended: finished, cancelled, fault, fenced, given_back.',
    labels: ['status'],
  },
  mayfly_steps_total: {
    kind: 'counter',
    help: 'Steps by outcome.',
    labels: ['outcome'],
  },
  mayfly_faults_total: { kind: 'counter', help: 'Faults by stage.', labels: ['stage'] },
  mayfly_cpu_seconds_total: {
    kind: 'counter',
    help: 'CPU time that programs used.',
    labels: ['tenant'],
  },
  mayfly_slot_seconds_total: {
    kind: 'counter',
    help: 'Time that runs held a slot.',
    labels: ['tenant'],
  },
  mayfly_busy_slots: { kind: 'gauge', help: 'Slots of this executor that run a task.', labels: [] },
  mayfly_pool_boxes: {
    kind: 'gauge',
    help: 'Boxes ready ahead of time when the last step ended.',
    labels: ['image'],
  },
  mayfly_blob_cache_opens_total: {
    kind: 'counter',
    help: "Blobs that runs asked this executor's cache for: hit, fetch, or corrupted and thrown away.",
    labels: ['result'],
  },
  mayfly_blob_cache_fetched_bytes_total: {
    kind: 'counter',
    help: 'Bytes that came from the blob store into the cache.',
    labels: [],
  },
  mayfly_supervisor_restarts_total: {
    kind: 'counter',
    help: 'Supervisors that died and were replaced.',
    labels: [],
  },
  mayfly_process_cpu_seconds_total: {
    kind: 'counter',
    help: 'CPU time of this process.',
    labels: [],
  },
  mayfly_process_memory_bytes: { kind: 'gauge', help: 'Resident memory.', labels: [] },
  mayfly_event_loop_utilization: {
    kind: 'gauge',
    help: 'Share of the time since the last look in which the event loop was busy.',
    labels: [],
  },
} as const satisfies Record<string, Definition>;

export type MetricName = keyof typeof METRICS;
type NameOf<K> = {
  [N in MetricName]: (typeof METRICS)[N]['kind'] extends K ? N : never;
}[MetricName];
type LabelsOf<N extends MetricName> = Readonly<
  Record<(typeof METRICS)[N]['labels'][number], string>
>;
/** What a look tells about one metric: a value for each set of labels. */
export type Reading<N extends MetricName> = readonly (readonly [LabelsOf<N>, number])[];

export interface Metrics {
  /** False: nobody reads them, so nothing needs to be prepared for them. */
  readonly enabled: boolean;
  count<N extends NameOf<'counter'>>(name: N, labels: LabelsOf<N>, by?: number): void;
  record<N extends NameOf<'histogram'>>(name: N, labels: LabelsOf<N>, value: number): void;
  /** Read whenever somebody looks. A reading that fails is left out of that look. */
  observe<N extends NameOf<'gauge' | 'counter'>>(
    name: N,
    read: () => Promise<Reading<N>> | Reading<N>,
  ): void;
}

export function createMetrics(meter: Meter, enabled = true): Metrics {
  const made = new Map<string, unknown>();
  const once = <T>(name: string, make: () => T): T => {
    const found = made.get(name) ?? make();
    made.set(name, found);
    return found as T;
  };
  const about = (name: MetricName): { description: string } => ({
    description: METRICS[name].help,
  });

  return {
    enabled,
    count(name, labels, by = 1) {
      once(name, () => meter.createCounter(name, about(name))).add(by, labels);
    },
    record(name, labels, value) {
      const histogram = once(name, () => {
        const advice = { explicitBucketBoundaries: [...METRICS[name].buckets] };
        return meter.createHistogram(name, { ...about(name), advice });
      });
      histogram.record(value, labels);
    },
    observe(name, read) {
      const instrument =
        METRICS[name].kind === 'counter'
          ? meter.createObservableCounter(name, about(name))
          : meter.createObservableGauge(name, about(name));
      instrument.addCallback(async (result) => {
        for (const [labels, value] of await read()) result.observe(value, labels);
      });
    },
  };
}

/** Where nothing is measured. */
export const NO_METRICS: Metrics = createMetrics(createNoopMeter(), false);
