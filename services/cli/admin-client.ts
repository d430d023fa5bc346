/** Calls the admin API, and turns whatever goes wrong into what to do about it. */
import type { z } from 'zod';
import { problemSchema } from '../contract/problems.js';
import { CliError, type Terminal } from './terminal.js';

const DEFAULT_URL = 'http://127.0.0.1:8081';
const TIMEOUT_MS = 30_000;

const NO_KEY = `MAYFLY_ADMIN_KEY is not set.
Set it to what the API was started with; npm start prints it.`;

function remedyOf(code: string): string {
  if (code === 'unauthenticated') {
    return '\nMAYFLY_ADMIN_KEY is not the one that the API was started with.';
  }
  if (code === 'not_found') return '\n`mayfly tenants list` shows what there is.';
  return '';
}

async function send(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, { ...init, signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (error) {
    const message = `${new URL(url).origin} does not answer.
Is the API running, with MAYFLY_ADMIN_KEY set? MAYFLY_ADMIN_URL says where it is looked for.`;
    throw new CliError(message, { cause: error });
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Whatever answered is not Mayfly; the caller's schema says so.
    return null;
  }
}

export async function adminCall<T>(
  { env }: Terminal,
  method: string,
  path: string,
  schema: z.ZodType<T>,
  body?: unknown,
): Promise<T> {
  const key = env['MAYFLY_ADMIN_KEY'] ?? '';
  if (key === '') throw new CliError(NO_KEY);
  const base = (env['MAYFLY_ADMIN_URL'] ?? DEFAULT_URL).replace(/\/$/, '');
  if (!URL.canParse(base)) throw new CliError(`MAYFLY_ADMIN_URL: ${base} is not a URL.`);
  const response = await send(`${base}/v1/admin${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const answer = parseJson(await response.text());
  if (!response.ok) {
    const problem = problemSchema.safeParse(answer);
    if (!problem.success) throw new CliError(`${base} answered ${response.status}; is it Mayfly?`);
    throw new CliError(`${problem.data.detail}${remedyOf(problem.data.code)}`);
  }
  const parsed = schema.safeParse(answer);
  if (!parsed.success) throw new CliError(`${base} answered something else; is it this version?`);
  return parsed.data;
}

/** A tenant as a part of a path, whatever it is called. */
export function tenantPath(tenant: string, rest = ''): string {
  return `/tenants/${encodeURIComponent(tenant)}${rest}`;
}
