/** What is known about a request beside HTTP: its id, its logger, and whose it is. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Request, RequestHandler } from 'express';
import { pinoHttp } from 'pino-http';
import type { Caller } from '../platform/access.js';
import { epochMs } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import type { Telemetry } from '../platform/telemetry.js';
import { NO_TRACE, type Trace } from '../platform/tracing.js';

export interface RequestContext {
  readonly requestId: string;
  readonly logger: Logger;
  /** Set once the key was found good. */
  caller?: Caller;
  readonly trace: Trace;
  /** As it was declared; the path as it was sent has ids in it. */
  route?: string;
}

/** Anything else is somebody's invention, and would be a label of its own. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

const contexts = new WeakMap<IncomingMessage, RequestContext>();

export function requestContext(request: Request | IncomingMessage): RequestContext {
  const context = contexts.get(request);
  if (context === undefined) throw new Error('the request has no context');
  return context;
}

/** A client's own id is taken over if it is harmless to write down. */
const REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/;
/** A URL can be as long as the headers may be. */
const URL_CHARS_LOGGED_MAX = 256;

function requestIdOf(request: IncomingMessage): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : `req_${randomUUID()}`;
}

/** Asked for by machines all the time; they are no news. */
const QUIET = new Set(['/healthz', '/readyz']);

export function createRequestLog(logger: Logger, telemetry: Telemetry): RequestHandler[] {
  const log = pinoHttp({
    logger,
    genReqId: (request: IncomingMessage, response: ServerResponse) => {
      const id = requestIdOf(request);
      response.setHeader('X-Request-Id', id);
      return id;
    },
    autoLogging: { ignore: (request) => QUIET.has(request.url ?? '') },
    customLogLevel: (_request, response, error) => {
      if (error !== undefined || response.statusCode >= 500) return 'error';
      return 'info';
    },
    serializers: {
      // No headers: they carry the key.
      req: (request: { id: string; method: string; url: string }) => ({
        id: request.id,
        method: request.method,
        url: request.url.slice(0, URL_CHARS_LOGGED_MAX),
      }),
      res: (response: { statusCode: number }) => ({ statusCode: response.statusCode }),
    },
  });
  const remember: RequestHandler = (request, response, next) => {
    const startMs = epochMs();
    const method = METHODS.has(request.method) ? request.method : 'OTHER';
    const trace = QUIET.has(request.path)
      ? NO_TRACE
      : telemetry.tracing.serve(method, startMs, request.headers);
    const requestId = response.get('X-Request-Id') ?? '';
    const context: RequestContext = { requestId, logger: request.log, trace };
    contexts.set(request, context);
    if (trace.traceparent !== null) {
      request.log.setBindings({ traceId: trace.traceId });
      response.setHeader('traceresponse', trace.traceparent);
    }
    response.once('close', () => {
      const { route = 'none', caller } = context;
      const status = String(response.statusCode);
      const endMs = epochMs();
      telemetry.metrics.record(
        'mayfly_http_request_duration_seconds',
        { method, route, status },
        (endMs - startMs) / 1_000,
      );
      trace.set({
        'http.request.method': method,
        'http.route': route,
        'http.response.status_code': response.statusCode,
        'mayfly.request.id': requestId,
        ...(caller === undefined ? {} : { 'mayfly.tenant': caller.tenantId }),
      });
      if (response.statusCode >= 500) trace.fail(`status ${status}`);
      trace.rename(`${method} ${route}`);
      trace.end(endMs);
    });
    next();
  };
  return [log, remember];
}

/** From here on, every line about this request names the job. */
export function bindJob(request: Request, jobId: string): void {
  request.log.setBindings({ jobId });
}
