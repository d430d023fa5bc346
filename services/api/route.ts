/**
 * One declaration per route: from it come the validation of what comes in (and in tests of what goes
 * out), the types of the handler, and the OpenAPI document.
 */
import express, { type Express, type Request, type RequestHandler, type Response } from 'express';
import { isUtf8 } from 'node:buffer';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { z } from 'zod';
import { issuesOf } from '../contract/issues.js';
import type { Issue } from '../contract/problems.js';
import type { Caller } from '../platform/access.js';
import type { Trace } from '../platform/tracing.js';
import { createBodyBudget } from './body-budget.js';
import { ApiProblem, invalidRequest } from './problems.js';
import { bindJob, requestContext } from './request-context.js';

export type Method = 'get' | 'head' | 'post' | 'put' | 'patch' | 'delete';

export interface Reply {
  readonly status: number;
  readonly body: unknown;
  /** Sent as it is, in place of the body as JSON. */
  readonly content?: Readable;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ResponseDeclaration {
  readonly description: string;
  readonly schema: z.ZodType;
  /** Of an answer that is not JSON. */
  readonly mediaType?: string;
}

type ParseResult<B> =
  | { readonly ok: true; readonly job: B }
  | { readonly ok: false; readonly issues: readonly Issue[] };

interface Declaration<P, Q, B> {
  readonly method: Method;
  /** As OpenAPI writes it: `/v1/jobs/{id}`. Whatever is under `/v1` needs a key. */
  readonly path: string;
  readonly operationId: string;
  readonly summary: string;
  readonly params?: z.ZodType<P>;
  readonly query?: z.ZodType<Q>;
  /** Headers that the route heeds, by their names. */
  readonly headers?: Readonly<Record<string, z.ZodType<string | undefined>>>;
  /** What a request for one that is not there is told. */
  readonly missing?: string;
  /** The schema is what the document shows; `parse` decides, by what the caller may do. */
  readonly body?: {
    readonly schema: z.ZodType;
    readonly parse: (body: unknown, request: Request) => ParseResult<B>;
  };
  /** The body is a stream of bytes, which the handler reads. */
  readonly bytes?: boolean;
  /** The body is bytes of any kind, at most so many. */
  readonly rawBodyBytesMax?: number;
  readonly responses: Readonly<Record<number, ResponseDeclaration>>;
  readonly handle?: (input: Input<P, Q, B>) => Promise<Reply>;
  /** In place of `handle`: answers by itself, in pieces, or leaves HTTP. */
  readonly open?: (input: Input<P, Q, B>, exchange: Exchange) => Promise<void>;
}

export interface Exchange {
  readonly request: Request;
  readonly response: Response;
}

export interface Input<P, Q, B> {
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  /** A declared header, if it was sent. */
  readonly header: (name: string) => string | undefined;
  readonly requestId: string;
  readonly rawBody: Buffer;
  /** Whose key it was. To ask for it where no tenant's key is needed is a bug. */
  readonly caller: Caller;
  readonly tenantId: string;
  /** For what is not declared: streams and their headers. */
  readonly request: Request;
  readonly bindJob: (jobId: string) => void;
  /** Of this request. */
  readonly trace: Trace;
}

export type Route = Omit<Declaration<unknown, unknown, unknown>, 'handle' | 'open'> & {
  /** Null: it has been answered. */
  readonly respond: (exchange: Exchange) => Promise<Reply | null>;
};

export function callerOf(request: Request): Caller {
  const { caller } = requestContext(request);
  if (caller === undefined) throw new Error('nobody was authenticated');
  return caller;
}

/** A body that is what its schema says, and no more to it. */
export function bodyOf<B>(schema: z.ZodType<B>) {
  return {
    schema,
    parse: (body: unknown): ParseResult<B> => {
      const parsed = schema.safeParse(body);
      return parsed.success
        ? { ok: true, job: parsed.data }
        : { ok: false, issues: issuesOf(parsed.error) };
    },
  };
}

function parsePart<T>(schema: z.ZodType<T> | undefined, value: unknown, missing: string | null): T {
  // Without a schema the type is `undefined`, and so is the value.
  if (schema === undefined) return undefined as T;
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw missing === null
    ? invalidRequest(issuesOf(parsed.error))
    : new ApiProblem('not_found', missing);
}

function parseHeaders(
  schemas: Readonly<Record<string, z.ZodType<string | undefined>>>,
  request: Request,
): Map<string, string | undefined> {
  const parsed = Object.entries(schemas).map(([name, schema]) => {
    const result = schema.safeParse(request.get(name));
    if (result.success) return [name, result.data] as const;
    const message = result.error.issues[0]?.message ?? 'is not allowed';
    throw invalidRequest([{ path: name, message }]);
  });
  return new Map(parsed);
}

export function route<P = undefined, Q = undefined, B = undefined>(
  declaration: Declaration<P, Q, B>,
): Route {
  const { handle, open, ...shown } = declaration;

  async function respond({ request, response }: Exchange): Promise<Reply | null> {
    // An id that cannot be is as missing as one that is not.
    const { missing = 'No such job.' } = declaration;
    const params = parsePart(declaration.params, request.params, missing);
    const query = parsePart(declaration.query, request.query, null);
    const headers = parseHeaders(declaration.headers ?? {}, request);
    let body = undefined as B;
    if (declaration.body !== undefined) {
      const parsed = declaration.body.parse(request.body, request);
      if (!parsed.ok) throw invalidRequest(parsed.issues);
      body = parsed.job;
    }
    const input: Input<P, Q, B> = {
      params,
      query,
      body,
      header: (name) => headers.get(name),
      requestId: requestContext(request).requestId,
      rawBody: Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0),
      get caller() {
        return callerOf(request);
      },
      get tenantId() {
        return callerOf(request).tenantId;
      },
      request,
      bindJob: (jobId) => bindJob(request, jobId),
      trace: requestContext(request).trace,
    };
    if (open === undefined) return handle === undefined ? null : await handle(input);
    await open(input, { request, response });
    return null;
  }

  return { ...shown, respond };
}

export interface MountOptions {
  readonly bodyBytesMax: number;
  /** A reply that is not as declared is a bug; tests look for it. */
  readonly validateReplies: boolean;
}

export function mountRoutes(app: Express, routes: readonly Route[], options: MountOptions): void {
  const { bodyBytesMax } = options;
  const bodyParsers: RequestHandler[] = [
    requireJson,
    createBodyBudget(bodyBytesMax),
    jsonParser(bodyBytesMax),
  ];
  const methods = new Map<string, string[]>();
  for (const each of routes) {
    // A {path} is all that is left, slashes and all.
    const path = each.path.replace('{path}', '*path').replace(/\{(\w+)\}/g, ':$1');
    methods.set(path, [...(methods.get(path) ?? []), each.method.toUpperCase()]);
    app[each.method](
      path,
      ...(each.body === undefined ? [] : bodyParsers),
      ...(each.rawBodyBytesMax === undefined ? [] : [bytesParser(each.rawBodyBytesMax)]),
      async (request, response) => {
        requestContext(request).route = each.path;
        const reply = await each.respond({ request, response });
        if (reply === null) return;
        if (options.validateReplies) validateReply(each, reply);
        response.status(reply.status).set(reply.headers ?? {});
        if (reply.content !== undefined) await send(reply.content, response);
        else if (each.method === 'head') response.end();
        else response.json(reply.body);
      },
    );
  }
  for (const [path, allowed] of methods) {
    app.all(path, (_request, response) => {
      response.setHeader('Allow', allowed.join(', '));
      throw new ApiProblem('method_not_allowed', `Allowed: ${allowed.join(', ')}.`);
    });
  }
}

/** A client that goes away ends the stream; one that fails half-way can only be cut off. */
async function send(content: Readable, response: Response): Promise<void> {
  try {
    await pipeline(content, response);
  } catch (error) {
    requestContext(response.req).logger.warn({ err: error }, 'a content was not sent whole');
    response.destroy();
  }
}

const requireJson: RequestHandler = (request, _response, next) => {
  if (request.is('application/json') === false) {
    throw new ApiProblem('unsupported_media_type', 'Send Content-Type: application/json.');
  }
  next();
};

function jsonParser(bodyBytesMax: number): RequestHandler {
  return express.json({
    limit: bodyBytesMax,
    // Anything that is JSON; what it has to be, the schema says, naming the field.
    strict: false,
    verify: (_request, _response, bytes) => {
      // The parser would put replacement characters where the client sent something else.
      if (!isUtf8(bytes)) throw new Error('not UTF-8');
    },
  });
}

function bytesParser(bytesMax: number): RequestHandler {
  return express.raw({ limit: bytesMax, type: () => true });
}

function validateReply({ responses, operationId }: Route, { status, body }: Reply): void {
  const declared = responses[status];
  if (declared === undefined) throw new Error(`${operationId} does not declare a ${status}`);
  declared.schema.parse(body);
}
