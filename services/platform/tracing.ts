/**
 * Spans as the platform uses them: most are known only when they are over (the supervisor's stages, the
 * time in the queue), so they are put into the trace with both their ends. Without a tracer, and for a
 * request that is not sampled, everything here is one object that does nothing.
 */
import {
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Context,
  type HrTime,
  type Span,
  type Tracer,
} from '@opentelemetry/api';

/** A span that is recorded, and the way to put others below it. */
export interface Trace {
  /** Null when nothing is recorded. */
  readonly traceId: string | null;
  readonly startMs: number;
  /** W3C Trace Context, for whoever goes on with this trace elsewhere. */
  readonly traceparent: string | null;
  child(name: string, startMs: number, attributes?: Attributes): Trace;
  /** A child that is over. */
  stage(name: string, startMs: number, endMs: number, attributes?: Attributes): Trace;
  /** A child that is over when this one is. */
  last(name: string, startMs: number): void;
  set(attributes: Attributes): void;
  rename(name: string): void;
  fail(detail: string): void;
  end(endMs: number): void;
}

export const NO_TRACE: Trace = {
  traceId: null,
  startMs: 0,
  traceparent: null,
  child: () => NO_TRACE,
  stage: () => NO_TRACE,
  last: () => undefined,
  set: () => undefined,
  rename: () => undefined,
  fail: () => undefined,
  end: () => undefined,
};

export interface Tracing {
  /** A request from outside, which may bring a trace along. */
  serve(name: string, startMs: number, headers: Readonly<Record<string, unknown>>): Trace;
  /** Work of a trace that began in another process; without one nothing is recorded. */
  resume(traceparent: string | null): Trace;
}

export const NO_TRACING: Tracing = { serve: () => NO_TRACE, resume: () => NO_TRACE };

/** OpenTelemetry takes small numbers for something else than times of day; a pair is never mistaken. */
function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1_000);
  return [seconds, Math.round((ms - seconds * 1_000) * 1e6)];
}

const carrierSetter = {
  set(carrier: { traceparent?: string }, key: string, value: string): void {
    if (key === 'traceparent') carrier.traceparent = value;
  },
};

function traceparentOf(context: Context): string | null {
  const carrier: { traceparent?: string } = {};
  propagation.inject(context, carrier, carrierSetter);
  return carrier.traceparent ?? null;
}

export function createTracing(tracer: Tracer): Tracing {
  function below(parent: Context, span: Span, startMs: number): Trace {
    const context = trace.setSpan(parent, span);
    const start = (name: string, fromMs: number, attributes: Attributes = {}): Span =>
      tracer.startSpan(name, { startTime: hrTime(fromMs), attributes }, context);
    let final: Span | null = null;
    return {
      traceId: span.spanContext().traceId,
      startMs,
      traceparent: traceparentOf(context),
      child: (name, fromMs, attributes) => below(context, start(name, fromMs, attributes), fromMs),
      stage(name, fromMs, toMs, attributes) {
        const child = start(name, fromMs, attributes);
        // Clocks of two hosts may disagree; a stage never ends before it began.
        child.end(hrTime(Math.max(fromMs, toMs)));
        return below(context, child, fromMs);
      },
      last: (name, fromMs) => void (final = start(name, fromMs)),
      set: (attributes) => void span.setAttributes(attributes),
      rename: (name) => void span.updateName(name),
      fail: (message) => void span.setStatus({ code: SpanStatusCode.ERROR, message }),
      end(endMs) {
        final?.end(hrTime(endMs));
        span.end(hrTime(endMs));
      },
    };
  }

  return {
    serve(name, startMs, headers) {
      const parent = propagation.extract(ROOT_CONTEXT, headers);
      const options = { kind: SpanKind.SERVER, startTime: hrTime(startMs) };
      const span = tracer.startSpan(name, options, parent);
      return span.isRecording() ? below(parent, span, startMs) : NO_TRACE;
    },
    resume(traceparent) {
      if (traceparent === null) return NO_TRACE;
      const parent = propagation.extract(ROOT_CONTEXT, { traceparent });
      const remote = trace.getSpan(parent);
      return remote === undefined ? NO_TRACE : below(parent, remote, 0);
    },
  };
}

/** For log lines about something that is traced. */
export function traceField({ traceId }: Pick<Trace, 'traceId'>): { traceId?: string } {
  return traceId === null ? {} : { traceId };
}
