/**
 * OpenTelemetry, where somebody asked for it: traces and metrics over OTLP by the standard OTEL_*
 * variables, metrics for Prometheus by MAYFLY_METRICS_PORT. The SDK is not even loaded otherwise. Nothing
 * patches libraries: the spans are made where the stages are known (docs/adr/0019-telemetry-by-hand.md).
 */
import { metrics as metricsApi, propagation, trace } from '@opentelemetry/api';
import type { MetricReader } from '@opentelemetry/sdk-metrics';
import type { Resource } from '@opentelemetry/resources';
import { z } from 'zod';
import { integerSetting } from './config.js';
import { createMetrics, NO_METRICS, type Metrics } from './metrics.js';
import { observeProcess } from './process-metrics.js';
import { createTracing, NO_TRACING, type Tracing } from './tracing.js';

/** The SDK reads the other OTEL_* variables (sampler, headers, limits, batches) itself. */
export const telemetrySettings = {
  MAYFLY_METRICS_PORT: integerSetting(1, 65_535)
    .optional()
    .describe('Port of `/metrics` for Prometheus; unset: no such listener.'),
  MAYFLY_METRICS_HOST: z
    .string()
    .default('127.0.0.1')
    .describe('Address that `/metrics` listens on. It needs no key: keep it private.'),
  MAYFLY_METRICS_TENANTS: z
    .string()
    .default('')
    .transform((text) => text.split(',').filter((name) => name !== ''))
    .describe('Tenants that metrics name, separated by commas; all others are `other`.'),
  OTEL_SDK_DISABLED: z.string().optional().describe('`true` switches OpenTelemetry off.'),
  OTEL_EXPORTER_OTLP_ENDPOINT: z
    .string()
    .optional()
    .describe('Where traces and metrics are sent over OTLP/HTTP (protobuf); unset: nowhere.'),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: z
    .string()
    .optional()
    .describe('The same for traces alone, as a full URL.'),
  OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: z
    .string()
    .optional()
    .describe('The same for metrics alone, as a full URL.'),
  OTEL_TRACES_SAMPLER: z
    .string()
    .optional()
    .describe(
      'Which traces are recorded; unset: those that the client records, and a tenth of the others.',
    ),
  OTEL_TRACES_EXPORTER: z.string().optional().describe('`none` switches traces off.'),
  OTEL_METRICS_EXPORTER: z
    .string()
    .optional()
    .describe('`none` switches metrics over OTLP off; `/metrics` is not affected.'),
  OTEL_METRIC_EXPORT_INTERVAL: integerSetting(100, 3_600_000)
    .default(60_000)
    .describe('Milliseconds between two exports of metrics over OTLP.'),
} as const;

export type TelemetryConfig = z.output<z.ZodObject<typeof telemetrySettings>>;

export interface Telemetry {
  readonly tracing: Tracing;
  readonly metrics: Metrics;
  /** The name of a tenant in metrics. */
  readonly tenantLabel: (tenantId: string) => string;
  /** Sends what is left. */
  stop(): Promise<void>;
}

export const NO_TELEMETRY: Telemetry = {
  tracing: NO_TRACING,
  metrics: NO_METRICS,
  tenantLabel: () => 'other',
  stop: () => Promise.resolve(),
};

/** A collector that does not answer must not keep a process from stopping. */
const STOP_MS_MAX = 3_000;

function wanted(config: TelemetryConfig) {
  const off = config.OTEL_SDK_DISABLED?.toLowerCase() === 'true';
  const everywhere = config.OTEL_EXPORTER_OTLP_ENDPOINT !== undefined;
  return {
    traces:
      !off &&
      config.OTEL_TRACES_EXPORTER !== 'none' &&
      (everywhere || config.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT !== undefined),
    pushedMetrics:
      !off &&
      config.OTEL_METRICS_EXPORTER !== 'none' &&
      (everywhere || config.OTEL_EXPORTER_OTLP_METRICS_ENDPOINT !== undefined),
    pulledMetrics: !off && config.MAYFLY_METRICS_PORT !== undefined,
  };
}

async function describeProcess(service: string, instanceId: string): Promise<Resource> {
  const { defaultResource, detectResources, envDetector, resourceFromAttributes } =
    await import('@opentelemetry/resources');
  const own = resourceFromAttributes({
    'service.namespace': 'mayfly',
    'service.name': `mayfly-${service}`,
    'service.instance.id': instanceId,
  });
  // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the last word.
  return defaultResource()
    .merge(own)
    .merge(detectResources({ detectors: [envDetector] }));
}

/** Of requests that bring no trace along: tracing a job costs a sixth of what the platform does for it. */
const SAMPLED_SHARE = 0.1;

async function startTracing(
  resource: Resource,
  config: TelemetryConfig,
): Promise<Pick<Telemetry, 'tracing' | 'stop'>> {
  const { BasicTracerProvider, BatchSpanProcessor, ParentBasedSampler, TraceIdRatioBasedSampler } =
    await import('@opentelemetry/sdk-trace-base');
  const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-proto');
  const { W3CTraceContextPropagator } = await import('@opentelemetry/core');
  const spanProcessors = [new BatchSpanProcessor(new OTLPTraceExporter())];
  const root = new TraceIdRatioBasedSampler(SAMPLED_SHARE);
  // The SDK reads the sampler from the environment itself, where it is set.
  const sampler =
    config.OTEL_TRACES_SAMPLER === undefined ? { sampler: new ParentBasedSampler({ root }) } : {};
  const provider = new BasicTracerProvider({ resource, spanProcessors, ...sampler });
  trace.setGlobalTracerProvider(provider);
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  return {
    tracing: createTracing(provider.getTracer('mayfly')),
    stop: () => provider.shutdown(),
  };
}

async function prometheusReader(config: TelemetryConfig, port: number): Promise<MetricReader> {
  const { PrometheusExporter } = await import('@opentelemetry/exporter-prometheus');
  const options = { host: config.MAYFLY_METRICS_HOST, port, withoutScopeInfo: true };
  const exporter = new PrometheusExporter({ ...options, preventServerStart: true });
  await exporter.startServer();
  return exporter;
}

const EXPORT_MS_MAX = 30_000;

async function otlpReader(intervalMs: number): Promise<MetricReader> {
  const { PeriodicExportingMetricReader } = await import('@opentelemetry/sdk-metrics');
  const { OTLPMetricExporter } = await import('@opentelemetry/exporter-metrics-otlp-proto');
  return new PeriodicExportingMetricReader({
    exporter: new OTLPMetricExporter(),
    exportIntervalMillis: intervalMs,
    exportTimeoutMillis: Math.min(intervalMs, EXPORT_MS_MAX),
  });
}

async function startMetrics(
  resource: Resource,
  readers: MetricReader[],
): Promise<Pick<Telemetry, 'metrics' | 'stop'>> {
  const { MeterProvider } = await import('@opentelemetry/sdk-metrics');
  const provider = new MeterProvider({ resource, readers });
  metricsApi.setGlobalMeterProvider(provider);
  const metrics = createMetrics(provider.getMeter('mayfly'));
  observeProcess(metrics);
  return { metrics, stop: () => provider.shutdown() };
}

export async function startTelemetry(
  config: TelemetryConfig,
  about: { readonly service: string; readonly instanceId: string },
): Promise<Telemetry> {
  const { traces, pushedMetrics, pulledMetrics } = wanted(config);
  if (!traces && !pushedMetrics && !pulledMetrics) return NO_TELEMETRY;
  const resource = await describeProcess(about.service, about.instanceId);
  const tracing = traces ? await startTracing(resource, config) : NO_TELEMETRY;
  const readers = [
    ...(pulledMetrics ? [await prometheusReader(config, config.MAYFLY_METRICS_PORT ?? 0)] : []),
    ...(pushedMetrics ? [await otlpReader(config.OTEL_METRIC_EXPORT_INTERVAL)] : []),
  ];
  const metrics = readers.length > 0 ? await startMetrics(resource, readers) : NO_TELEMETRY;
  const named = new Set(config.MAYFLY_METRICS_TENANTS);
  return {
    tracing: tracing.tracing,
    metrics: metrics.metrics,
    tenantLabel: (tenantId) => (named.has(tenantId) ? tenantId : 'other'),
    async stop() {
      const late = new Promise((resolve) => setTimeout(resolve, STOP_MS_MAX).unref());
      await Promise.race([Promise.allSettled([tracing.stop(), metrics.stop()]), late]);
    },
  };
}
