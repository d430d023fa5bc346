/** Problems are thrown anywhere in the API and answered in one place, as RFC 9457 says. */
import type { ErrorRequestHandler, Request, Response } from 'express';
import {
  PROBLEMS,
  type Issue,
  type Problem,
  type ProblemCode,
  type ProblemDefinition,
} from '../contract/problems.js';
import { Refusal } from '../platform/errors.js';
import { requestContext } from './request-context.js';

export class ApiProblem extends Error {
  readonly code: ProblemCode;
  readonly issues: readonly Issue[];
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: ProblemCode,
    detail: string,
    issues: readonly Issue[] = [],
    retryAfterSeconds?: number,
  ) {
    super(detail);
    this.name = 'ApiProblem';
    this.code = code;
    this.issues = issues;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

export function invalidRequest(issues: readonly Issue[]): ApiProblem {
  const detail = issues
    .map(({ path, message }) => `${path === '' ? 'The body' : path} ${message}`)
    .join('; ');
  return new ApiProblem('invalid_request', detail.slice(0, 1_000), issues);
}

/** What the body parser and the router throw; told apart by what they set on the error. */
const PARSER_PROBLEMS: Readonly<Record<string, readonly [ProblemCode, string]>> = {
  'entity.parse.failed': ['invalid_json', 'The body is not valid JSON.'],
  'entity.verify.failed': ['invalid_json', 'The body is not valid UTF-8.'],
  'entity.too.large': ['payload_too_large', 'The body is larger than this service takes.'],
  'charset.unsupported': ['unsupported_media_type', 'The body has to be UTF-8.'],
  'encoding.unsupported': ['unsupported_media_type', 'This content encoding is not known.'],
  'request.size.invalid': ['invalid_request', 'The body is not as long as the request said.'],
  'request.aborted': ['invalid_request', 'The body ended early.'],
};

function property(error: unknown, name: string): unknown {
  return typeof error === 'object' && error !== null ? Reflect.get(error, name) : undefined;
}

function toProblem(error: unknown): ApiProblem {
  if (error instanceof ApiProblem) return error;
  if (error instanceof Refusal) {
    return new ApiProblem(error.code, error.message, error.issues, error.retryAfterSeconds);
  }
  const type = property(error, 'type');
  const known = typeof type === 'string' ? PARSER_PROBLEMS[type] : undefined;
  if (known !== undefined) return new ApiProblem(known[0], known[1]);
  // The router's own refusals, such as a path with a broken percent-encoding.
  const status = property(error, 'status');
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return new ApiProblem('invalid_request', 'The request is malformed.');
  }
  return new ApiProblem('internal', 'Something unexpected happened; it has been logged.');
}

function definitionOf(code: ProblemCode): ProblemDefinition {
  return PROBLEMS[code];
}

function bodyOf({ code, message: detail, issues }: ApiProblem, requestId: string): Problem {
  const definition = definitionOf(code);
  return {
    type: `urn:mayfly:problem:${code}`,
    title: definition.title,
    status: definition.status,
    code,
    detail,
    ...(issues.length === 0 ? {} : { issues: [...issues] }),
    requestId,
  };
}

/** The body of the problem that an error is, where it is a part of an answer. */
export function problemOf(error: unknown, requestId: string): Problem {
  return bodyOf(toProblem(error), requestId);
}

export function sendProblem(request: Request, response: Response, problem: ApiProblem): void {
  const { code } = problem;
  const definition = definitionOf(code);
  const body = bodyOf(problem, requestContext(request).requestId);
  const retryAfterSeconds = problem.retryAfterSeconds ?? definition.retryAfterSeconds;
  if (retryAfterSeconds !== undefined) {
    response.setHeader('Retry-After', String(retryAfterSeconds));
  }
  if (code === 'unauthenticated') response.setHeader('WWW-Authenticate', 'Bearer');
  response.status(definition.status).type('application/problem+json').send(JSON.stringify(body));
}

export const problemHandler: ErrorRequestHandler = (error, request, response, next) => {
  if (response.headersSent) {
    next(error);
    return;
  }
  const problem = toProblem(error);
  const { logger } = requestContext(request);
  if (problem.code === 'internal') logger.error({ err: error as unknown }, 'unexpected failure');
  else if (error instanceof Refusal && problem.code !== 'unauthenticated')
    logger.warn({ err: error }, 'refused');
  sendProblem(request, response, problem);
};
