/** Receives OTLP/HTTP and decodes it with the code that was generated from the official protocol. */
import { createRequire } from 'node:module';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';

export interface ReceivedSpan {
  readonly service: string;
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for a root. */
  readonly parentId: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly failed: boolean;
}

export interface OtlpReceiver {
  readonly url: string;
  readonly spans: readonly ReceivedSpan[];
  /** Names of the metrics that arrived. */
  readonly metrics: ReadonlySet<string>;
  close(): Promise<void>;
}

interface AnyValue {
  stringValue?: string;
  intValue?: number | { toNumber(): number };
  doubleValue?: number;
  boolValue?: boolean;
}
interface KeyValue {
  key: string;
  value: AnyValue;
}
interface WireSpan {
  name: string;
  traceId: Uint8Array;
  spanId: Uint8Array;
  parentSpanId: Uint8Array;
  startTimeUnixNano: { toString(): string };
  endTimeUnixNano: { toString(): string };
  attributes: KeyValue[];
  status?: { code: number } | null;
}
interface TraceRequest {
  resourceSpans: { resource: { attributes: KeyValue[] }; scopeSpans: { spans: WireSpan[] }[] }[];
}
interface MetricsRequest {
  resourceMetrics: { scopeMetrics: { metrics: { name: string }[] }[] }[];
}
interface Root {
  opentelemetry: {
    proto: {
      collector: {
        trace: { v1: { ExportTraceServiceRequest: { decode(bytes: Uint8Array): TraceRequest } } };
        metrics: {
          v1: { ExportMetricsServiceRequest: { decode(bytes: Uint8Array): MetricsRequest } };
        };
      };
    };
  };
}

const { collector } = (
  createRequire(import.meta.url)('otlp-protocol/build/src/generated/root') as Root
).opentelemetry.proto;

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const msOf = (nanos: { toString(): string }): number =>
  Number(BigInt(nanos.toString()) / 1_000n) / 1_000;

function plain(list: readonly KeyValue[]): Record<string, unknown> {
  return Object.fromEntries(
    list.map(({ key, value }) => [
      key,
      value.stringValue ?? value.doubleValue ?? value.boolValue ?? Number(value.intValue),
    ]),
  );
}

function spansOf(body: Uint8Array): ReceivedSpan[] {
  const request = collector.trace.v1.ExportTraceServiceRequest.decode(body);
  return request.resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        service: String(plain(resource.attributes)['service.name']),
        name: span.name,
        traceId: hex(span.traceId),
        spanId: hex(span.spanId),
        parentId: hex(span.parentSpanId),
        startMs: msOf(span.startTimeUnixNano),
        endMs: msOf(span.endTimeUnixNano),
        attributes: plain(span.attributes),
        failed: span.status?.code === 2,
      })),
    ),
  );
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const bytes = Buffer.concat(chunks);
  return request.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes;
}

export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const metrics = new Set<string>();

  async function receive(request: IncomingMessage): Promise<number> {
    const body = await bodyOf(request);
    if (request.headers['content-type'] !== 'application/x-protobuf') return 415;
    if (request.url === '/v1/traces') spans.push(...spansOf(body));
    else if (request.url === '/v1/metrics') {
      const { resourceMetrics } = collector.metrics.v1.ExportMetricsServiceRequest.decode(body);
      for (const { scopeMetrics } of resourceMetrics) {
        for (const each of scopeMetrics.flatMap((scope) => scope.metrics)) metrics.add(each.name);
      }
    } else return 404;
    return 200;
  }

  const server = createServer((request, response) => {
    void receive(request).then(
      (status) => response.writeHead(status).end(),
      () => response.writeHead(400).end(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    spans,
    metrics,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
